"""Mutant: a view is made read-only before it is unmounted, and stays so when it is busy.

Caught by UNM-003.
"""

from contextlib import suppress

from layerfs import mounts, syscalls
from layerfs.cli import main

_MS_BIND_REMOUNT = 4096 | 32  # mount(2)
_unmount = mounts.unmount


def _readonly_first(target, table=None):
    with suppress(OSError):
        syscalls.mount(None, target, None, _MS_BIND_REMOUNT | syscalls.MS_RDONLY)
    return _unmount(target, table)


mounts.unmount = _readonly_first

raise SystemExit(main())
