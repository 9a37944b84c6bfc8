"""Mutant: unmount ends whatever is mounted at a target, and succeeds if nothing is.

Caught by UNM-006, UNM-007 and UNM-009.
"""

from layerfs import mounts, syscalls, views
from layerfs.cli import main
from layerfs.errors import InvalidMountPointError

_unmount = views.unmount


def _whatever(parts, target):
    try:
        return _unmount(parts, target)
    except InvalidMountPointError:
        if mounts.is_mountpoint(target):
            syscalls.umount2(target)
        return views.place(target)


views.unmount = _whatever

raise SystemExit(main())
