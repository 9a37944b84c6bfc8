"""Mutant: lists of layers are taken topmost first. Caught by STK-001 and STK-030."""

from layerfs.backends.overlay import OverlayBackend
from layerfs.cli import main

_view = OverlayBackend.view


def _topmost_first(self, diff_ids, target, run, **options):
    _view(self, diff_ids[::-1], target, run, **options)


OverlayBackend.view = _topmost_first

raise SystemExit(main())
