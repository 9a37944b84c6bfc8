"""Mutant: a fifo is made by its path, through a symlink on the way.

Caught by HST-207 and HST-270.
"""

import os

from layerfs.cli import main
from layerfs.layertree import LayerTree

_add = LayerTree.add


def _by_path(self, member):
    head, _, base = member.name.rpartition(b"/")
    parent = self.root.children.get(head)
    if member.kind == "fifo" and parent is not None and parent.kind == "symlink":
        os.mkfifo(os.path.join(parent.target, base))
        return None
    return _add(self, member)


LayerTree.add = _by_path

raise SystemExit(main())
