"""Mutant: a file that another entry needs as its parent becomes a directory. Caught by HST-014."""

import os

from layerfs.apply import _Applier
from layerfs.cli import main
from layerfs.layertree import Directory

_add = _Applier._add


def _make_room(self, member):
    path, slash, _ = member.name.rpartition(b"/")
    at, name = self._tree.root, path
    while slash and name:
        first, _, name = name.partition(b"/")
        child = at.children.get(first)
        if child is not None and child.kind == "file":
            os.unlink(first, dir_fd=self._fd(at))
            del at.children[first]
        if not isinstance(child, Directory):
            break
        at = child
    _add(self, member)


_Applier._add = _make_room

raise SystemExit(main())
