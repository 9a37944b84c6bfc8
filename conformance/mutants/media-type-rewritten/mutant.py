"""Mutant: a layer of Docker's types is recorded under the OCI's type. Caught by IDN-015."""

from dataclasses import replace

from layerfs import adding, descriptor
from layerfs.cli import main

_published = adding._published


def _rewritten(parts, operation, made, tee, ingest):
    compression = descriptor.compression_of(made.media_type)
    made = replace(made, media_type=descriptor.layer_media_type(compression))
    return _published(parts, operation, made, tee, ingest)


adding._published = _rewritten

raise SystemExit(main())
