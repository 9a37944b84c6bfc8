"""Mutant: a directory of mode 0755 leaves the one below as it is. Caught by DIF-003 and DIF-004."""

from layerfs.cli import main
from layerfs.layertree import LayerTree

_add = LayerTree.add


def _add_unusual(self, member):
    step = _add(self, member)
    if step is not None and member.kind == "dir" and member.mode == 0o755:
        step.node.implicit = True
    return step


LayerTree.add = _add_unusual

raise SystemExit(main())
