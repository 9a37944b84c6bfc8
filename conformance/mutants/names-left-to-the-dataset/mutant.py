"""Mutant: makes a store where different names are one file. Caught by ZFS-209."""

from layerfs.backends import probing
from layerfs.cli import main

probing._Probe._refuse_twins = lambda _: None

raise SystemExit(main())
