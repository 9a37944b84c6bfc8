"""Mutant: an archive without zero blocks at its end is refused. Caught by APL-030."""

from layerfs.cli import main
from layerfs.tarfields import Damage
from layerfs.tarstream import TarReader

_block = TarReader._block


def _demanding(self):
    if not self._ensure(1):
        raise Damage("the archive has no end")
    return _block(self)


TarReader._block = _demanding

raise SystemExit(main())
