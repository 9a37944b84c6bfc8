"""Mutant: a header without the magic of ustar is refused. Caught by APL-150."""

from layerfs.cli import main
from layerfs.tarfields import Damage
from layerfs.tarstream import TarReader

_member = TarReader._member


def _modern(self, block, fields, extensions):
    if not fields[9].startswith(b"ustar"):
        raise Damage("no ustar archive")
    return _member(self, block, fields, extensions)


TarReader._member = _modern

raise SystemExit(main())
