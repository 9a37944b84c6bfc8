"""Mutant: info has an empty version. Caught by PRO-001."""

from layerfs import verbs
from layerfs.cli import main

verbs.__version__ = ""

raise SystemExit(main())
