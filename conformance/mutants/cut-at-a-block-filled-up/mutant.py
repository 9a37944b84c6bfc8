"""Mutant: what an archive lacks after a whole block is taken for zeros. Caught by HST-130."""

from layerfs.cli import main
from layerfs.tarstream import TarReader

_init = TarReader.__init__


class _Filled:
    def __init__(self, source):
        self._source = source
        self._total = 0

    def read(self, n):
        data = self._source.read(n)
        self._total += len(data)
        if not data and not self._total % 512:
            self._total = 1
            return bytes(1 << 20)
        return data


TarReader.__init__ = lambda self, source, limits=None: _init(self, _Filled(source), limits)

raise SystemExit(main())
