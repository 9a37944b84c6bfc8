"""Mutant: makes writable views wherever the kernel mounts one. Caught by ZFS-208."""

from layerfs.backends.overlay import OverlayBackend
from layerfs.cli import main

OverlayBackend._upper_lacks = lambda _: ""

raise SystemExit(main())
