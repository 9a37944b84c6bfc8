"""Mutant: check says that all is well without looking. Caught by LIF-020."""

from layerfs.cli import main
from layerfs.store import LayerFS

LayerFS.check = lambda _self: []

raise SystemExit(main())
