"""Mutant: a parent that is a symlink is left to open(2), which may leave the root.

Caught by HST-003, HST-004, HST-012 and HST-270.
"""

import os

from layerfs import apply, handles
from layerfs.cli import main
from layerfs.layertree import Directory, LayerTree

apply._NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
handles._CONFINED = 0
handles._DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
# os.path.join: what is absolute leaves everything behind that stood before it.
LayerTree._follow = lambda _self, start, target, _left, _path: Directory(start, target)

raise SystemExit(main())
