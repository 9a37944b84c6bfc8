"""Mutant: takes no more than a hundred layers. Caught by ZFS-214."""

from layerfs import mounts
from layerfs.cli import main

mounts.MAX_LOWERDIRS = 100

raise SystemExit(main())
