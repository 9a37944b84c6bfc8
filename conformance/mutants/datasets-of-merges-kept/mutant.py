"""Mutant: keeps a dataset of each merge. Caught by ZFS-045."""

from layerfs.backends.zfs import ZfsBackend
from layerfs.backends.zfschains import PROPERTIES
from layerfs.cli import main

real = ZfsBackend.merge


def merge(self, diff_ids, sink, staging, contents):
    """Have a place for the next one."""
    real(self, diff_ids, sink, staging, contents)
    self.zfs.create(f"{self.dataset}/merge-{staging.name}", dict(PROPERTIES))


ZfsBackend.merge = merge

raise SystemExit(main())
