"""Mutant: a hard link to what the layer has not is one to a file of the host.

Caught by HST-006 and HST-270.
"""

import os

from layerfs.apply import _Applier
from layerfs.cli import main
from layerfs.errors import HostileLayerError, InvalidLayerPathError
from layerfs.layertree import Node

_add = _Applier._add


def _absolute(self, member):
    try:
        _add(self, member)
    except HostileLayerError:
        raise
    except InvalidLayerPathError:
        if member.kind != "hardlink":
            raise
        os.link(b"/" + member.linkname, member.name, dst_dir_fd=self._root_fd)
        self._tree.root.children[member.name] = Node("file")


_Applier._add = _absolute

raise SystemExit(main())
