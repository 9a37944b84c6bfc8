"""Mutant: a view that somebody unmounted cannot be unmounted any more.

Caught by UNM-008 and LIF-020.
"""

from layerfs import mounts, views
from layerfs.cli import main
from layerfs.errors import InvalidMountPointError

_unmount = views.unmount


def _mounted_only(parts, target):
    if not mounts.is_mountpoint(target):
        raise InvalidMountPointError(f"nothing is mounted on {target!r}")
    return _unmount(parts, target)


views.unmount = _mounted_only

raise SystemExit(main())
