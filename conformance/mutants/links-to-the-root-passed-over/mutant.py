"""Mutant: a hard link to the root is passed over. Caught by HST-214."""

from layerfs.cli import main
from layerfs.layertree import LayerTree

_add = LayerTree.add


def _passed_over(self, member):
    if member.kind == "hardlink" and member.linkname == b".":
        return None
    return _add(self, member)


LayerTree.add = _passed_over

raise SystemExit(main())
