"""Mutant: a file of a device's name is written to the device. Caught by HST-230."""

import os

from layerfs.apply import _Applier
from layerfs.cli import main

_open, _remove = os.open, _Applier._remove


def _opened(path, flags, mode=0o777, *, dir_fd=None):
    if flags & os.O_EXCL:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return _open(path, flags, mode, dir_fd=dir_fd)


def _keep(self, parent, name, old):
    if old.kind not in {"char", "block"}:
        _remove(self, parent, name, old)


os.open = _opened
_Applier._remove = _keep

raise SystemExit(main())
