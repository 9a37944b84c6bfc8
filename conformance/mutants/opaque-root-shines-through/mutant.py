"""Mutant: an opaque marker in the root directory is left to overlayfs, which ignores it.

Caught by WHT-007.
"""

from layerfs.backends import marks
from layerfs.cli import main

_save = marks.save
marks.save = lambda layer, found: _save(layer, marks.Marks(found.implicit, found.whiteouts))

raise SystemExit(main())
