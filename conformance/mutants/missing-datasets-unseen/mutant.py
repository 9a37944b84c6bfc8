"""Mutant: does not check that datasets are there. Caught by ZFS-051."""

from layerfs import datasets
from layerfs.cli import main

datasets._missing = lambda *_: iter(())

raise SystemExit(main())
