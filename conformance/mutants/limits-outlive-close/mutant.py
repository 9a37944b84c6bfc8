"""Mutant: limits that were set hold for the rest of the session. Caught by HST-118."""

from layerfs.cli import main
from layerfs.openstores import Stores

_open = Stores.open


def _lasting(self, root, *, readonly, limits=None):
    self._limits = limits or self._limits
    return _open(self, root, readonly=readonly, limits=limits)


Stores.open = _lasting

raise SystemExit(main())
