"""Mutant: gives the root of a writable view on ZFS its time in whole seconds. Caught by ZFS-204."""

import os

from layerfs.backends import shim
from layerfs.cli import main
from layerfs.filesystems import file_system_of

real = shim.copy_metadata


def copy_metadata(source, target):
    """Lose what is finer than a second."""
    real(source, target)
    if file_system_of(target).kind == "zfs":
        found = os.stat(target)
        os.utime(target, (found.st_atime, int(found.st_mtime)))


shim.copy_metadata = copy_metadata

raise SystemExit(main())
