"""Mutant: missing parents are made by their path, through a symlink on the way.

Caught by HST-207.
"""

import os

from layerfs.cli import main
from layerfs.layertree import LayerTree

_add = LayerTree.add


def _by_path(self, member):
    first, _, rest = member.name.partition(b"/")
    parent = self.root.children.get(first)
    if parent is not None and parent.kind == "symlink" and b"/" in rest:
        os.makedirs(os.path.join(parent.target, os.path.dirname(rest)), exist_ok=True)
    return _add(self, member)


LayerTree.add = _by_path

raise SystemExit(main())
