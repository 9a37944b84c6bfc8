"""Mutant: a file of whole blocks has one more of padding. Caught by APL-118."""

from layerfs.cli import main
from layerfs.tarfields import BLOCK
from layerfs.tarstream import TarReader

_plain = TarReader._plain


def _padded(self):
    member = _plain(self)
    if member is not None and member.size:
        self._gap = BLOCK - member.size % BLOCK
    return member


TarReader._plain = _padded

raise SystemExit(main())
