"""Mutant: non-distributable layers, and those of Docker's types, are refused. Caught by IDN-015."""

from layerfs import descriptor
from layerfs.cli import main

descriptor.LAYER_COMPRESSION = {
    name: compression
    for name, compression in descriptor.LAYER_COMPRESSION.items()
    if name.startswith(descriptor.LAYER)
}

raise SystemExit(main())
