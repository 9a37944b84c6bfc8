"""Mutant: a layer that stands in a list twice counts at its lowest place. Caught by WHT-005."""

from layerfs.backends.overlay import OverlayBackend
from layerfs.cli import main

_stack = OverlayBackend._stack
OverlayBackend._stack = lambda self, diff_ids: _stack(self, list(dict.fromkeys(diff_ids)))

raise SystemExit(main())
