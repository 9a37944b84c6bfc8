"""Mutant: an exported image lacks its configuration. Caught by IMG-002, IMG-009 and IMG-014."""

from dataclasses import replace

from layerfs import export
from layerfs.cli import main

_same_image = export._same_image


def _layers_only(parts, row):
    return replace(_same_image(parts, row), blobs=row.digests)


export._same_image = _layers_only

raise SystemExit(main())
