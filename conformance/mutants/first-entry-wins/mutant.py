"""Mutant: a file that the layer already has is not replaced by a later entry. Caught by APL-017."""

from layerfs.cli import main
from layerfs.layertree import Directory, LayerTree

_add = LayerTree.add


def _once(self, member):
    path, _, base = member.name.rpartition(b"/")
    old = self.directory(path).children.get(base)
    if old is not None and not isinstance(old, Directory):
        return None
    return _add(self, member)


LayerTree.add = _once

raise SystemExit(main())
