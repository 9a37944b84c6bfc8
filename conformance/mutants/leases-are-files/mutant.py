"""Mutant: a lease is a file of its name as well. Caught by HST-252."""

import os
from pathlib import Path

from layerfs.cli import main
from layerfs.store import LayerFS

_lease = LayerFS.lease


def _written(self, name, digests):
    _lease(self, name, digests)
    path = Path(self._parts.root, "run", os.path.normpath(name))
    if not path.is_dir():
        path.write_text("\n".join(digests))


LayerFS.lease = _written

raise SystemExit(main())
