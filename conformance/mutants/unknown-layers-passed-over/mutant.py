"""Mutant: a view of layers that are not all there is one of the others. Caught by IDN-008."""

from layerfs import holding, views
from layerfs.cli import main

_layers_of = views.layers_of


def _known(parts, digests):
    return _layers_of(parts, [one for one in digests if parts.meta.has_layer(one)] or digests)


holding.layers_of = views.layers_of = _known

raise SystemExit(main())
