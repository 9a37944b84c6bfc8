"""Mutant: names a busy dataset, and not where it is mounted. Caught by ZFS-076."""

from layerfs.backends import zfs
from layerfs.cli import main

real = zfs.holder_of
zfs.holder_of = lambda one: one.name if " is busy " in one.what else real(one)

raise SystemExit(main())
