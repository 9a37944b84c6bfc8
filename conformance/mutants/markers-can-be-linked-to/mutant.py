"""Mutant: a hard link to a whiteout is an empty file. Caught by HST-214."""

from layerfs.cli import main
from layerfs.layertree import LayerTree

_add = LayerTree.add


def _linked(self, member):
    if member.kind == "hardlink" and b".wh." in member.linkname:
        member.kind = "file"
    return _add(self, member)


LayerTree.add = _linked

raise SystemExit(main())
