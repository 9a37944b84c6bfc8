"""Mutant: reads user.overlay.* on ZFS, where layers have others. Caught by ZFS-202, ZFS-203."""

from layerfs import mounts
from layerfs.cli import main
from layerfs.filesystems import file_system_of

real = mounts.mount_overlay


def mount_overlay(lowers, target, **options):
    """Take ZFS for something that a user has mounted."""
    options["userxattr"] |= file_system_of(lowers[-1]).kind == "zfs"
    real(lowers, target, **options)


mounts.mount_overlay = mount_overlay

raise SystemExit(main())
