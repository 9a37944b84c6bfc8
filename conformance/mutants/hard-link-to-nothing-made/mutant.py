"""Mutant: a hard link to what the layer has not becomes an empty file.

Caught by APL-020 and HST-014.
"""

from layerfs.cli import main
from layerfs.errors import HostileLayerError, InvalidLayerPathError
from layerfs.layertree import LayerTree

_add = LayerTree.add


def _empty(self, member):
    try:
        return _add(self, member)
    except HostileLayerError:
        raise
    except InvalidLayerPathError:
        if member.kind != "hardlink":
            raise
        member.kind = "file"
        return _add(self, member)


LayerTree.add = _empty

raise SystemExit(main())
