"""Mutant: the size of a store is that of all layers that were ever added. Caught by LIF-019."""

from layerfs.catalog import Catalog
from layerfs.cli import main

_put_tree = Catalog.put_tree


def _counted(self, diff_id, size):
    _put_tree(self, diff_id, size)
    self.set_setting("bytes", (self.setting("bytes") or 0) + size)


Catalog.put_tree = _counted
Catalog.bytes_total = lambda self: self.setting("bytes") or 0

raise SystemExit(main())
