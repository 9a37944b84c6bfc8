"""Mutant: a manifest is not compared with its descriptor. Caught by IMG-006."""

from layerfs.cli import main
from layerfs.image import Source

Source.document = lambda self, what: self.read(self.blob(what.digest))

raise SystemExit(main())
