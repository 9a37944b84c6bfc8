"""Mutant: does not end a view that somebody has a snapshot of. Caught by ZFS-014, ZFS-021."""

from layerfs.backends.zfschains import ZfsChains
from layerfs.cli import main
from layerfs.errors import UnmountFailedError, ZFSDatasetDestroyFailedError

real = ZfsChains.take_away


def take_away(self, name):
    """Insist."""
    try:
        real(self, name)
    except ZFSDatasetDestroyFailedError as error:
        raise UnmountFailedError(error.message, holder=error.holder) from error


ZfsChains.take_away = take_away

raise SystemExit(main())
