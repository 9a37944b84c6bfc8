"""Mutant: a directory without an entry replaces the lower one's attributes.

Caught by APL-009 and WHT-008.
"""

from layerfs.cli import main
from layerfs.layertree import LayerTree

LayerTree.implicit = lambda _: []

raise SystemExit(main())
