"""Mutant: zero blocks are passed over, as by tar's --ignore-zeros.

Caught by APL-031 and HST-154.
"""

from layerfs.cli import main
from layerfs.tarfields import ZERO_BLOCK
from layerfs.tarstream import TarReader

_block = TarReader._block


def _past_zeros(self):
    while self._ensure(512) >= 512 and self._buffer.startswith(ZERO_BLOCK, self._at):
        self._at += 512
    return _block(self)


TarReader._block = _past_zeros

raise SystemExit(main())
