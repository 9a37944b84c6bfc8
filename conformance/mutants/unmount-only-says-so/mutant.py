"""Mutant: unmount answers that it is done, and does nothing. Caught by UNM-001."""

from layerfs.cli import main
from layerfs.store import LayerFS

LayerFS.unmount = lambda _self, _target: None

raise SystemExit(main())
