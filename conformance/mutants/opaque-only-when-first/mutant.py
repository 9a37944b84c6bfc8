"""Mutant: an opaque marker counts only before the entries of its directory. Caught by WHT-004."""

from layerfs.cli import main
from layerfs.layertree import LayerTree
from layerfs.whiteout import Opaque

_mark = LayerTree._mark


def _when_first(self, mark):
    if not isinstance(mark, Opaque) or not self.directory(mark.directory).children:
        _mark(self, mark)


LayerTree._mark = _when_first

raise SystemExit(main())
