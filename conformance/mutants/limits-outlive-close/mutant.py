"""Mutant: limits that were set hold for the rest of the session. Caught by HST-118."""

from layerfs.cli import main
from layerfs.openstores import Stores

_open = Stores.open


def _lasting(self, root, *, limits=None, **options):
    self._limits = limits or self._limits
    return _open(self, root, limits=limits, **options)


Stores.open = _lasting

raise SystemExit(main())
