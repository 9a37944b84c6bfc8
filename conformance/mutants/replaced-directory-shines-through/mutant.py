"""Mutant: a whiteout beside a directory of its own name hides nothing. Caught by WHT-002."""

from layerfs.cli import main
from layerfs.layertree import Directory

Directory.opaque = property(lambda self: self.marked)

raise SystemExit(main())
