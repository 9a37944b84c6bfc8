"""Mutant: whiteouts are obeyed, and extracted as files besides. Caught by WHT-001 and WHT-009."""

from layerfs.cli import main
from layerfs.layertree import LayerTree, Node, Step

_add = LayerTree.add


def _both(self, member):
    step = _add(self, member)
    path, _, base = member.name.rpartition(b"/")
    if step is None and base.startswith(b".wh."):
        parent, node = self.directory(path), Node("file")
        old, parent.children[base] = parent.children.get(base), node
        step = Step(parent, base, node, old)
    return step


LayerTree.add = _both

raise SystemExit(main())
