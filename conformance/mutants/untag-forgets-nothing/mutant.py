"""Mutant: says that an image is forgotten, and keeps it. Caught by IMG-013."""

from layerfs.cli import main
from layerfs.store import LayerFS


def _only_said(self, image):
    return any(image in {one.reference, one.manifest} for one in self.images())


LayerFS.remove_image = _only_said

raise SystemExit(main())
