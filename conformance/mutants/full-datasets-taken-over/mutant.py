"""Mutant: takes over a dataset that has somebody else's data. Caught by ZFS-005."""

from layerfs import dataset
from layerfs.cli import main

dataset._refuse_full = lambda *_: None

raise SystemExit(main())
