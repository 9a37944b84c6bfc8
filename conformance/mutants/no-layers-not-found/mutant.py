"""Mutant: an empty list of layers is refused as a layer that is not found.

Caught by STK-015 and MRG-004.
"""

from layerfs import holding, views
from layerfs.cli import main
from layerfs.errors import LayerNotFoundError

_layers_of = views.layers_of


def _some(parts, digests):
    if not digests:
        raise LayerNotFoundError("no such layers")
    return _layers_of(parts, digests)


holding.layers_of = views.layers_of = _some

raise SystemExit(main())
