"""Mutant: the layers of a merge are taken topmost first. Caught by MRG-001 and MRG-007."""

from layerfs.backends.overlay import OverlayBackend
from layerfs.cli import main

_merge = OverlayBackend.merge


def _topmost_first(self, diff_ids, *more):
    _merge(self, diff_ids[::-1], *more)


OverlayBackend.merge = _topmost_first

raise SystemExit(main())
