"""Mutant: of several images in a layout the first is imported, whatever was asked.

Caught by IMG-004.
"""

from layerfs import image
from layerfs.cli import main

image.choose = lambda source, _reference: source.index().manifests[0]

raise SystemExit(main())
