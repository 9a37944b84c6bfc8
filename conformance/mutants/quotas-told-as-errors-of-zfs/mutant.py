"""Mutant: does not tell a full dataset from any other error of ZFS. Caught by ZFS-032."""

from layerfs import apply, errors, inplace
from layerfs.cli import main
from layerfs.errors import StorageError, WriteFailedError
from layerfs.zfs import failure

real = errors.from_os_error


def from_os_error(error, doing, path=None):
    """Blame the disk."""
    told = real(error, doing, path)
    return StorageError(told.message) if isinstance(told, WriteFailedError) else told


failure._FULL.clear()
apply.from_os_error = inplace.from_os_error = from_os_error

raise SystemExit(main())
