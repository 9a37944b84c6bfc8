"""Mutant: does not commit a file of which only attributes changed. Caught by ZFS-043."""

import os
import stat

from layerfs.backends import changed
from layerfs.cli import main

real = changed._next_pair


def next_pair(pair):
    """Forget what has the same content and mode."""
    below = real(pair)
    for name, what in list(pair.found.changed.items()):
        if (
            what is None
            and name in pair.old
            and facts(pair.before, name) == facts(pair.after, name)
        ):
            del pair.found.changed[name]
    return below


def facts(directory, name):
    """Return what is looked at."""
    seen = directory.status(name)
    told = seen.st_ino, seen.st_size, seen.st_mode, seen.st_mtime_ns, seen.st_uid, seen.st_nlink
    if not stat.S_ISREG(seen.st_mode):
        return seen
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=directory.fileno())
    try:
        return told, os.read(fd, seen.st_size)
    finally:
        os.close(fd)


changed._next_pair = next_pair

raise SystemExit(main())
