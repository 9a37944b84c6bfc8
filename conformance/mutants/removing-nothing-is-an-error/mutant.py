"""Mutant: remove refuses a layer that is not there. Caught by LIF-005."""

from layerfs.cli import main
from layerfs.store import LayerFS

_remove = LayerFS.remove_layer


def _known(self, digest):
    self.get_layer(digest)
    return _remove(self, digest)


LayerFS.remove_layer = _known

raise SystemExit(main())
