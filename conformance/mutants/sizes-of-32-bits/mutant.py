"""Mutant: of a size the lower 32 bits count. Caught by HST-137."""

from layerfs import tarfields, tarstream
from layerfs.cli import main

_number = tarfields.number


def _short(field):
    value = _number(field)
    return value & 0xFFFFFFFF if len(field) == 12 and value > 0 else value


tarfields.number = tarstream.number = _short

raise SystemExit(main())
