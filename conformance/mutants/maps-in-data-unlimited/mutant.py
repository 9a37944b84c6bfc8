"""Mutant: a sparse map that stands in the data may be of any length. Caught by HST-114."""

from layerfs import tarsparse
from layerfs.cli import main

_leading_map = tarsparse.leading_map
tarsparse.leading_map = lambda next_block, _most: _leading_map(next_block, 2**62)

raise SystemExit(main())
