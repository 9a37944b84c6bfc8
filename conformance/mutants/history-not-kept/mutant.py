"""Mutant: layers that are exported with an image lose its history. Caught by IMG-012."""

from layerfs import export
from layerfs.cli import main

export._tell_history = lambda config, _diff_ids: config.pop("history", None)

raise SystemExit(main())
