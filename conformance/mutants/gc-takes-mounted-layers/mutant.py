"""Mutant: gc does not look at mounts. Caught by GC-002."""

from layerfs import garbage
from layerfs.cli import main

garbage.is_live = lambda _parts, _row: False

raise SystemExit(main())
