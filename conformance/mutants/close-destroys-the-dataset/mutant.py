"""Mutant: destroys the dataset, with all layers, when the store is closed. Caught by ZFS-002."""

import contextlib

from layerfs.cli import main
from layerfs.openstores import Stores
from layerfs.zfs import ZfsFailure

real = Stores.end


def end(self, root):
    """Close, and leave nothing in the pool."""
    backend = self.get(root)._parts.backend
    real(self, root)
    with contextlib.suppress(ZfsFailure):
        names = [row.name for row in backend.zfs.children(backend.dataset)]
        backend.zfs.remove(names, snapshot="layer")
        backend.zfs.destroy(backend.dataset)


Stores.end = end

raise SystemExit(main())
