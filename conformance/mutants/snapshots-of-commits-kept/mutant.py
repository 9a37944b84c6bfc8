"""Mutant: keeps the snapshots that it commits from. Caught by ZFS-044."""

from layerfs.backends.zfs import ZfsBackend
from layerfs.cli import main
from layerfs.zfs.operations import Operations

real, real_destroy = ZfsBackend.changes, Operations.destroy_snapshots


def changes(self, run, sink, **options):
    """Leave them to unmount."""
    Operations.destroy_snapshots = lambda _self, _names: None
    try:
        real(self, run, sink, **options)
    finally:
        Operations.destroy_snapshots = real_destroy


ZfsBackend.changes = changes

raise SystemExit(main())
