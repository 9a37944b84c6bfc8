"""Mutant: views are mounted noexec. Caught by STK-022."""

from layerfs import syscalls
from layerfs.cli import main

_fsmount = syscalls.fsmount


def _noexec(context, attributes=0):
    return _fsmount(context, attributes | syscalls.MOUNT_ATTR_NOEXEC)


syscalls.fsmount = _noexec

raise SystemExit(main())
