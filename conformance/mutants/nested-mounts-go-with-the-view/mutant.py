"""Mutant: what is mounted below a view is unmounted with it. Caught by UNM-004."""

import os

from layerfs import mounts, syscalls
from layerfs.cli import main

_unmount = mounts.unmount


def _recursively(target, table=None):
    below = os.fsencode(target) + b"/"
    for entry in reversed(mounts.mountinfo()):
        if entry.target.startswith(below):
            syscalls.umount2(entry.target)
    return _unmount(target, table)


mounts.unmount = _recursively

raise SystemExit(main())
