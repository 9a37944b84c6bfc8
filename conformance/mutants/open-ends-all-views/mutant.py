"""Mutant: open unmounts the views that it finds, as left over. Caught by LIF-001."""

from layerfs.cli import main
from layerfs.openstores import Stores

_open = Stores.open


def _afresh(self, root, **options):
    store = _open(self, root, **options)
    store.close_all_views()
    return store


Stores.open = _afresh

raise SystemExit(main())
