"""Mutant: of the names of a layer the last thousand are known. Caught by APL-116."""

from collections import deque

from layerfs.cli import main
from layerfs.layertree import Directory, LayerTree

_add = LayerTree.add


def _forgetful(self, member):
    step = _add(self, member)
    if step is not None and not isinstance(step.node, Directory):
        names = self.__dict__.setdefault("names", deque())
        names.append((step.parent, step.name))
        if len(names) > 1000:
            parent, name = names.popleft()
            parent.children.pop(name, None)
    return step


LayerTree.add = _forgetful

raise SystemExit(main())
