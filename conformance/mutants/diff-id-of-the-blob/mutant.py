"""Mutant: the diffID is computed from the compressed blob. Caught by IDN-001."""

from layerfs import compression
from layerfs.cli import main

_sides = compression._sides
compression._sides = lambda _, *algorithms: _sides("none", *algorithms)

raise SystemExit(main())
