"""Mutant: mounts lists the layers of a view topmost first. Caught by STK-017."""

from layerfs.cli import main
from layerfs.store import LayerFS

_mounts = LayerFS.mounts


def _topmost_first(self):
    return [mount._replace(digests=mount.digests[::-1]) for mount in _mounts(self)]


LayerFS.mounts = _topmost_first

raise SystemExit(main())
