"""Mutant: a hard link to a lower layer's symlink is one to what that leads to.

Caught by HST-244.
"""

import os

from layerfs.apply import _Applier
from layerfs.cli import main
from layerfs.layertree import Node

_add = _Applier._add
_seen = {}


def _linked(self, member):
    if member.kind == "symlink":
        _seen[member.name] = member.linkname
    there = _seen.get(member.linkname, b"")
    if member.kind != "hardlink" or not os.path.isfile(there):
        _add(self, member)
        return
    os.link(there, member.name, dst_dir_fd=self._root_fd)
    self._tree.root.children[member.name] = Node("file")


_Applier._add = _linked

raise SystemExit(main())
