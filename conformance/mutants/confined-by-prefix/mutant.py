"""Mutant: a symlink is followed where the path that it gives begins like the store's.

Caught by HST-215.
"""

import os

from layerfs.backends.overlay import OverlayBackend
from layerfs.cli import main
from layerfs.layertree import LayerTree

_add, _ingest = LayerTree.add, OverlayBackend.ingest
_store = []


def _noted(self, reader, staging):
    _store[:] = [os.fsencode(os.path.realpath(staging.parents[2]))]
    _ingest(self, reader, staging)


def _checked(self, member):
    head, _, base = member.name.rpartition(b"/")
    parent = self.root.children.get(head)
    if member.kind == "file" and parent is not None and parent.kind == "symlink":
        path = os.path.join(os.path.realpath(parent.target), base)
        if path.startswith(_store[0]):
            with open(path, "wb"):
                return None
    return _add(self, member)


OverlayBackend.ingest = _noted
LayerTree.add = _checked

raise SystemExit(main())
