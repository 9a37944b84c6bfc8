"""Mutant: whiteouts show as devices in directories that only one layer has.

Caught by WHT-003 and HST-009.
"""

from layerfs.backends import shim
from layerfs.cli import main

shim._Stack._is_wrong = lambda _, __, merged: merged.owner != merged.trees[0]

raise SystemExit(main())
