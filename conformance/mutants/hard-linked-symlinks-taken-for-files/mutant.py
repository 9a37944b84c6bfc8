"""Mutant: a hard link to a symlink is taken for a file by what stands below it.

Caught by HST-207 and HST-213.
"""

from layerfs.cli import main
from layerfs.layertree import LayerTree, Node

_add = LayerTree.add


def _as_file(self, member):
    step = _add(self, member)
    if step is not None and member.kind == "hardlink" and step.node.kind == "symlink":
        step.parent.children[step.name] = Node("file")
    return step


LayerTree.add = _as_file

raise SystemExit(main())
