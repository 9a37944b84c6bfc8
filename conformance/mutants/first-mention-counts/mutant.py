"""Mutant: a layer that is listed twice counts at its first place. Caught by STK-002 and MRG-003."""

from layerfs.backends.overlay import OverlayBackend
from layerfs.cli import main

_view, _merge = OverlayBackend.view, OverlayBackend.merge


def _view_each_once(self, diff_ids, target, run, **options):
    _view(self, list(dict.fromkeys(diff_ids)), target, run, **options)


def _merge_each_once(self, diff_ids, *more):
    _merge(self, list(dict.fromkeys(diff_ids)), *more)


OverlayBackend.view, OverlayBackend.merge = _view_each_once, _merge_each_once

raise SystemExit(main())
