"""Mutant: a block of zeros between two members is passed over. Caught by HST-155."""

from layerfs.cli import main
from layerfs.tarstream import TarReader

_block = TarReader._block


def _next_one(self):
    block = _block(self)
    return _block(self) if block is None and self._ensure(512) >= 512 else block


TarReader._block = _next_one

raise SystemExit(main())
