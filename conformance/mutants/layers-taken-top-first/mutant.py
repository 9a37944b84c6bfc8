"""Mutant: lists of layers are taken to begin at the top. Caught by APL-022, APL-023 and WHT-006."""

from layerfs.backends.overlay import OverlayBackend
from layerfs.cli import main

_stack = OverlayBackend._stack
OverlayBackend._stack = lambda self, diff_ids: _stack(self, diff_ids)[::-1]

raise SystemExit(main())
