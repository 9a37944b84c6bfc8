"""Mutant: does not count its datasets. Caught by ZFS-072."""

from layerfs.backends.zfs import ZfsBackend
from layerfs.cli import main

ZfsBackend.used = lambda _self: 0

raise SystemExit(main())
