"""Mutant: an image's layers are listed topmost first. Caught by IMG-001."""

from layerfs.cli import main
from layerfs.image import Documents

Documents.digests = property(
    lambda self: tuple(layer.digest for layer in reversed(self.manifest.layers))
)

raise SystemExit(main())
