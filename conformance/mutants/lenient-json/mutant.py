"""Mutant: a key that is given twice, and NaN, are taken as Python takes them. Caught by IMG-007."""

from layerfs import manifest
from layerfs.cli import main

manifest._no_duplicates = dict
manifest._no_constant = float

raise SystemExit(main())
