"""Mutant: of a number of base 256 the lower 32 bits count. Caught by HST-135."""

from layerfs import tarfields, tarstream
from layerfs.cli import main

_number = tarfields.number


def _wrapped(field):
    return _number(field) & 0xFFFFFFFF if field[0] & 0x80 else _number(field)


tarfields.number = tarstream.number = _wrapped

raise SystemExit(main())
