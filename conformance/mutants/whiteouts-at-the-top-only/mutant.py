"""Mutant: a whiteout counts in the root directory only. Caught by WHT-001 and WHT-009."""

from layerfs.cli import main
from layerfs.layertree import Directory

_whiteouts = Directory.whiteouts
Directory.whiteouts = lambda self: _whiteouts(self) if self.parent is None else []

raise SystemExit(main())
