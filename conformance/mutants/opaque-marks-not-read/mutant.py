"""Mutant: neither merge nor commit looks whether a directory is opaque.

Caught by CMT-001, MRG-001 and MRG-002.
"""

from layerfs.cli import main
from layerfs.ondisk import Directory

Directory.opaque = lambda _self, _prefix: ""

raise SystemExit(main())
