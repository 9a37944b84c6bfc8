"""Mutant: a numeric field may be all that int() takes for octal. Caught by HST-134."""

from layerfs import tarfields, tarstream
from layerfs.cli import main
from layerfs.tarfields import Damage

_number = tarfields.number


def _lenient(field):
    if field[0] & 0x80:
        return _number(field)
    try:
        return int(field.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        raise Damage(f"{field!r} is not an octal number") from None


tarfields.number = tarstream.number = _lenient

raise SystemExit(main())
