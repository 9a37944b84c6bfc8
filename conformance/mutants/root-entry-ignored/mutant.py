"""Mutant: the entry for the root directory is passed over.

Caught by APL-016, APL-024 and APL-025.
"""

from layerfs.cli import main
from layerfs.layertree import LayerTree

LayerTree._root_entry = lambda *_: None

raise SystemExit(main())
