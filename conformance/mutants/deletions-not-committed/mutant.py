"""Mutant: a commit leaves out what was deleted. Caught by CMT-001, CMT-008 and CMT-010."""

from layerfs.cli import main
from layerfs.merge import _Changes

_leaf = _Changes._leaf


def _kept(self, path, entry, directory):
    if entry.kind == "whiteout" and self._live:
        return None
    return _leaf(self, path, entry, directory)


_Changes._leaf = _kept

raise SystemExit(main())
