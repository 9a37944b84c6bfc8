"""Mutant: a parent that is a symlink is left to open(2), which may leave the root.

Caught by HST-003, HST-004 and HST-012.
"""

import os

from layerfs import handles
from layerfs.cli import main
from layerfs.layertree import Directory, LayerTree

handles._CONFINED = 0
handles._DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
# os.path.join: what is absolute leaves everything behind that stood before it.
LayerTree._follow = lambda _self, start, target, _left, _path: Directory(start, target)

raise SystemExit(main())
