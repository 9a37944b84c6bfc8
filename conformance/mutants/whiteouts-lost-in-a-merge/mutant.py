"""Mutant: a merge leaves out what its layers delete. Caught by MRG-002, MRG-007 and MRG-009."""

from layerfs.cli import main
from layerfs.merge import _Changes

_leaf = _Changes._leaf


def _applied(self, path, entry, directory):
    if entry.kind == "whiteout" and not self._live:
        return None
    return _leaf(self, path, entry, directory)


_Changes._leaf = _applied

raise SystemExit(main())
