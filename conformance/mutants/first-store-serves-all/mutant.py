"""Mutant: a session sends all requests to the first store that it opened. Caught by PRO-009."""

from layerfs.cli import main
from layerfs.openstores import Stores

_get = Stores.get


def _first(self, root, **options):
    return _get(self, next(iter(self._open), root), **options)


Stores.get = _first

raise SystemExit(main())
