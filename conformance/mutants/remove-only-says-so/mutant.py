"""Mutant: remove answers that the layer is removed, and keeps it. Caught by LIF-004 and LIF-005."""

from layerfs.cli import main
from layerfs.store import LayerFS

LayerFS.remove_layer = lambda self, digest: self._parts.meta.has_layer(digest)

raise SystemExit(main())
