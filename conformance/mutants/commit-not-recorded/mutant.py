"""Mutant: the layer that commit answers with is not in the store. Caught by CMT-002."""

from layerfs.cli import main
from layerfs.store import LayerFS

_commit = LayerFS.commit


def _forgotten(self, target, **options):
    layer = _commit(self, target, **options)
    self.remove_layer(layer.digest)
    return layer


LayerFS.commit = _forgotten

raise SystemExit(main())
