"""Mutant: gc does not look at what kept layers depend on. Caught by GC-004."""

from layerfs import garbage
from layerfs.cli import main

garbage.edges_of = lambda _meta: {}

raise SystemExit(main())
