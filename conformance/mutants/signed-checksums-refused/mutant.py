"""Mutant: a checksum is the sum of unsigned bytes. Caught by APL-158."""

from layerfs import tarfields, tarstream
from layerfs.cli import main


def _unsigned(block, field):
    if sum(block) - sum(field) + 8 * 0x20 != tarfields.number(field):
        raise tarfields.Damage("the checksum is another one")


tarfields.check_sum = tarstream.check_sum = _unsigned

raise SystemExit(main())
