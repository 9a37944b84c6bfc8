"""Mutant: gc does not look at images. Caught by GC-005."""

from layerfs.cli import main
from layerfs.roots import Roots

Roots.layers_of_images = lambda _self: set()

raise SystemExit(main())
