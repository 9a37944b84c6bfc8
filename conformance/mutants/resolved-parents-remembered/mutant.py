"""Mutant: a parent once resolved stays so, though another entry replaces it. Caught by HST-212."""

from layerfs.cli import main
from layerfs.layertree import LayerTree

_directory = LayerTree.directory


def _remembered(self, path, *, make=True):
    known = self.__dict__.setdefault("_known", {})
    if path not in known:
        known[path] = _directory(self, path, make=make)
    return known[path]


LayerTree.directory = _remembered

raise SystemExit(main())
