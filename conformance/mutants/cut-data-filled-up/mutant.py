"""Mutant: data that an archive lacks at its end are zeros. Caught by APL-028."""

from layerfs.cli import main
from layerfs.tarstream import TarReader

_ensure = TarReader._ensure


def _filled(self, n):
    have = _ensure(self, n)
    wanted = self._left + self._gap
    if have < n and wanted:
        self._buffer += bytes(wanted)
    return _ensure(self, n)


TarReader._ensure = _filled

raise SystemExit(main())
