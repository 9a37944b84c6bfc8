"""Mutant: a marker that is not a regular file is taken for an ordinary entry. Caught by WHT-014."""

from layerfs import layertree
from layerfs.cli import main
from layerfs.layertree import LayerTree

_add, _classify = LayerTree.add, layertree.classify


def _of_regular_files(self, member):
    regular = member.kind in {"file", "dir"}
    layertree.classify = _classify if regular else lambda *_, **__: None
    return _add(self, member)


LayerTree.add = _of_regular_files

raise SystemExit(main())
