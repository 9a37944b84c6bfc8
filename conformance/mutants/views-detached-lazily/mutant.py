"""Mutant: a view is detached at once, whoever uses it (MNT_DETACH).

Caught by UNM-002, UNM-003 and UNM-004.
"""

from layerfs import syscalls
from layerfs.cli import main

_MNT_DETACH = 2  # umount(2)
_umount2 = syscalls.umount2


def _detach(target, flags=syscalls.UMOUNT_NOFOLLOW):
    _umount2(target, flags | _MNT_DETACH)


syscalls.umount2 = _detach

raise SystemExit(main())
