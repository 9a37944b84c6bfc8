"""Descriptors of a layer's directories, opened as needed and never through a symlink.

A directory of ``layertree`` is opened below the root by openat2(2) under RESOLVE_IN_ROOT,
NO_MAGICLINKS, NO_SYMLINKS and NO_XDEV, from the nearest ancestor that is still open. Its path is
what ``layertree`` resolved; should anything else than a directory lie on the way by now (somebody
swapped a symlink in), the kernel refuses with ELOOP, ENOTDIR or EXDEV.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from layerfs import syscalls

if TYPE_CHECKING:
    from layerfs.layertree import Directory

_CONFINED: Final = (
    syscalls.RESOLVE_IN_ROOT
    | syscalls.RESOLVE_NO_MAGICLINKS
    | syscalls.RESOLVE_NO_SYMLINKS
    | syscalls.RESOLVE_NO_XDEV
)
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW

#: Descriptors kept. Tars go depth first, so few directories are needed at a time.
_KEPT: Final = 32
#: Components of one openat2 path. A longer way is walked in several steps: names have at most 255
#: bytes and PATH_MAX is 4096, and on the way up a deep tree the descriptors between are of use.
_STRIDE: Final = 15


def open_below(root_fd: int, path: bytes) -> int:
    """Return a descriptor of the directory ``path`` below ``root_fd``; ``b"."`` is that itself.

    Raises OSError: ELOOP, ENOTDIR or EXDEV where anything but directories lies on the way.
    """
    names = path.split(b"/")
    fd = root_fd
    for at in range(0, len(names), _STRIDE):
        steps = b"/".join(names[at : at + _STRIDE])
        try:
            below = syscalls.openat2(fd, steps, _DIRECTORY, 0, _CONFINED)
        finally:
            if fd != root_fd:
                os.close(fd)
        fd = below
    return fd


class Handles:
    """The open directories of one tree. ``root_fd`` is borrowed, and stays open."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._open: OrderedDict[Directory, int] = OrderedDict()

    def fd(self, directory: Directory) -> int:
        """Return a descriptor of a directory that is on disk; good until ``trim`` or ``close``.

        Raises OSError.
        """
        fd = self._open.get(directory)
        if fd is not None:
            self._open.move_to_end(directory)
            return fd
        way = []
        start = directory
        while start.parent is not None and start not in self._open:
            way.append(start)
            start = start.parent
        fd = self._open.get(start, self._root_fd)
        while way:
            steps = [way.pop() for _ in range(min(_STRIDE, len(way)))]
            path = b"/".join([step.name for step in steps])
            fd = self._open[steps[-1]] = syscalls.openat2(fd, path, _DIRECTORY, 0, _CONFINED)
        return fd

    def close(self, directory: Directory) -> None:
        """Forget a directory that is finished with, or gone from the disk."""
        if (fd := self._open.pop(directory, None)) is not None:
            os.close(fd)

    def trim(self) -> None:
        """Close the longest unused. Not done by ``fd``, since a deep path opens many at once."""
        while len(self._open) > _KEPT:
            os.close(self._open.popitem(last=False)[1])

    def close_all(self) -> None:
        """Close everything that was opened here."""
        while self._open:
            os.close(self._open.popitem()[1])
