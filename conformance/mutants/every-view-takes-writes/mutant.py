"""Mutant: read-only views are mounted like writable ones.

Caught by STK-003, STK-004 and STK-017.
"""

from layerfs.backends.overlay import OverlayBackend
from layerfs.cli import main

_view = OverlayBackend.view


def _with_an_upper(self, diff_ids, target, run, **options):
    _view(self, diff_ids, target, run, **{**options, "writable": True})


OverlayBackend.view = _with_an_upper

raise SystemExit(main())
