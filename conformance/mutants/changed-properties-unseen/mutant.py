"""Mutant: does not check the properties of datasets. Caught by ZFS-053."""

from layerfs import datasets
from layerfs.cli import main

datasets._drifted = lambda *_: iter(())

raise SystemExit(main())
