"""Mutant: how many layers there are is found out by mounting them. Caught by STK-009."""

from layerfs import mounts
from layerfs.cli import main

mounts.MAX_LOWERDIRS = 1 << 20

raise SystemExit(main())
