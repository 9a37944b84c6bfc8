"""Mutant: the last byte of a number is taken for its end. Caught by APL-163."""

from layerfs import tarfields, tarstream
from layerfs.cli import main

_number = tarfields.number


def _ended(field):
    return _number(field if field[0] & 0x80 else field[:-1])


tarfields.number = tarstream.number = _ended

raise SystemExit(main())
