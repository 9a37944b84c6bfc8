"""Mutant: an archive that ends within a header is taken for whole. Caught by APL-028."""

from layerfs.cli import main
from layerfs.tarfields import BLOCK
from layerfs.tarstream import TarReader

_block = TarReader._block


def _lenient(self):
    have = self._ensure(BLOCK)
    if 0 < have < BLOCK:
        self._at += have
        return None
    return _block(self)


TarReader._block = _lenient

raise SystemExit(main())
