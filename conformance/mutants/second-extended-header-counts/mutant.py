"""Mutant: of two extended headers for one member the second counts. Caught by HST-150."""

from layerfs.cli import main
from layerfs.tarstream import TarReader

_extend = TarReader._extend


def _replaced(self, fields, extensions):
    if fields[7] == b"x":
        extensions.pax = None
    _extend(self, fields, extensions)


TarReader._extend = _replaced

raise SystemExit(main())
