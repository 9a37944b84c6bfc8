"""Mutant: tells a quota as a failure of the disk. Caught by ZFS-211."""

import errno

from layerfs import errors
from layerfs.cli import main

real = errors.WriteFailedError.__init__


def told(self, message, **facts):
    """Know of a full disk only."""
    real(self, message, **facts)
    if facts.get("errno") != errno.ENOSPC:
        self.code = errors.StorageError.code


errors.WriteFailedError.__init__ = told

raise SystemExit(main())
