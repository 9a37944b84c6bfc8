"""Mutant: the layers that were merged are removed. Caught by MRG-006."""

from layerfs.cli import main
from layerfs.store import LayerFS

_merge = LayerFS.merge


def _instead(self, digests, **options):
    layer = _merge(self, digests, **options)
    for digest in {*digests} - {layer.digest}:
        self.remove_layer(digest)
    return layer


LayerFS.merge = _instead

raise SystemExit(main())
