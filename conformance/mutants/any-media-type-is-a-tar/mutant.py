"""Mutant: a blob of an unknown media type is read as an uncompressed tar. Caught by IDN-014."""

from layerfs import descriptor
from layerfs.cli import main

descriptor.compression_of = lambda media_type: descriptor.LAYER_COMPRESSION.get(media_type, "none")

raise SystemExit(main())
