"""Mutant: commit and merge write each name of a file as a file of its own.

Caught by CMT-001 and MRG-001.
"""

from layerfs.cli import main
from layerfs.merge import _Changes

_Changes._hardlink = lambda _self, _path, _seen, _layer: None

raise SystemExit(main())
