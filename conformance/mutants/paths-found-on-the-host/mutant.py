"""Mutant: a symlink to a path that the host has is followed there. Caught by HST-208."""

import contextlib
import os

from layerfs.cli import main
from layerfs.layertree import LayerTree

_add = LayerTree.add


def _by_path(self, member):
    head, _, base = member.name.rpartition(b"/")
    parent = self.root.children.get(head)
    if member.kind == "file" and parent is not None and parent.kind == "symlink":
        there = b"/" + parent.target.lstrip(b"./")
        with contextlib.suppress(OSError), open(os.path.join(there, base), "wb"):
            return None
    return _add(self, member)


LayerTree.add = _by_path

raise SystemExit(main())
