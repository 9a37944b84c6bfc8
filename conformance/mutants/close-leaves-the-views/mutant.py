"""Mutant: close lets go of the store, and leaves its views mounted. Caught by UNM-011."""

from layerfs.cli import main
from layerfs.store import LayerFS

LayerFS.close_all_views = lambda _self: None

raise SystemExit(main())
