"""Mutant: a file is written where a symlink of the layers added before leads on the host.

Caught by HST-242 and HST-243.
"""

import contextlib
import os

from layerfs.cli import main
from layerfs.layertree import LayerTree

_add = LayerTree.add
_seen = {}


def _by_path(self, member):
    if member.kind == "symlink":
        _seen[member.name] = member.linkname
    head, _, base = member.name.rpartition(b"/")
    if member.kind == "file" and head in _seen and head not in self.root.children:
        with contextlib.suppress(OSError), open(os.path.join(_seen[head], base), "wb"):
            pass
    return _add(self, member)


LayerTree.add = _by_path

raise SystemExit(main())
