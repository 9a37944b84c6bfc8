"""Mutant: a directory in place of a symlink to one is taken for that. Caught by APL-104."""

from layerfs.cli import main
from layerfs.errors import LayerFSError
from layerfs.layertree import LayerTree

_add = LayerTree.add


def _kept(self, member):
    path, _, base = member.name.rpartition(b"/")
    if member.kind == "dir" and base in self.directory(path).children:
        try:
            there = self.directory(path).children[base]
            if there.kind == "symlink" and self.directory(member.name):
                return None
        except LayerFSError:
            pass  # it leads to no directory
    return _add(self, member)


LayerTree.add = _kept

raise SystemExit(main())
