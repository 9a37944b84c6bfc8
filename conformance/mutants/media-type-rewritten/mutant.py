"""Mutant: a layer of Docker's types is recorded under the OCI's type. Caught by IDN-015."""

from layerfs import descriptor, verbs
from layerfs.cli import main

_layer = verbs._layer


def _rewritten(layer):
    compression = descriptor.compression_of(layer.media_type)
    return {**_layer(layer), "media_type": descriptor.layer_media_type(compression)}


verbs._layer = _rewritten

raise SystemExit(main())
