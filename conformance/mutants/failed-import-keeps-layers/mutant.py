"""Mutant: the layers that an import added before it failed stay. Caught by IMG-006."""

from layerfs import image
from layerfs.cli import main

image._remove_again = lambda _parts, _digest: None

raise SystemExit(main())
