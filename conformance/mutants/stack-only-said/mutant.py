"""Mutant: stack answers as if it had mounted something. Caught by APL-001."""

from layerfs.backends.overlay import OverlayBackend
from layerfs.cli import main

OverlayBackend.view = lambda *_, **__: None
OverlayBackend.mounted = lambda *_: True

raise SystemExit(main())
