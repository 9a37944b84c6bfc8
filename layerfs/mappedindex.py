"""Write back SQLite's mapped index (``-shm``), where syncfs(2) would wait for it for seconds.

On OpenZFS before 2.3 syncfs(2) begins to write back mapped pages without committing them, and then
waits until their transaction group is written for its own reasons: up to ``zfs_txg_timeout``, five
seconds (openzfs/zfs#13860; measured with 2.1.11, and not with 2.3.9). fsync(2) of that file does
commit them. So it is done before a syncfs, which then finds no such pages.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, Self

#: Versions from this one on do not wait.
_MENDED: Final = (2, 3)
_VERSION: Final = Path("/sys/module/zfs/version")


class MappedIndex:
    """The index of a database that this process has open. Nothing is promised by writing it back.

    It is written through the descriptor that SQLite has: to close another one would take away the
    locks of this process (fcntl(2)), which are on this file.
    """

    def __init__(self, database: Path) -> None:
        self._path = f"{os.fspath(database)}-shm"
        self._fd = -1

    @classmethod
    def where_needed(cls, database: Path) -> Self | None:
        """Return the index of a database on a dataset of such an OpenZFS, and else None."""
        try:
            told = _VERSION.read_text(encoding="ascii")
            release = tuple(map(int, told.partition("-")[0].split(".")[:2]))
        except (OSError, ValueError):  # no ZFS here, or one that nobody has released
            return None
        if release >= _MENDED:
            return None
        from layerfs.filesystems import file_system_of  # noqa: PLC0415 - for such hosts only

        with contextlib.suppress(OSError):
            if file_system_of(database).kind == "zfs":
                return cls(database)
        return None

    def write_back(self) -> None:
        """Write it back, and wait for that; what fails is left to the sync that counts."""
        if self._fd < 0:
            self._fd = self._found()
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.fsync(self._fd)

    def _found(self) -> int:
        """Return SQLite's descriptor of the file; -1 where it has none."""
        with contextlib.suppress(OSError):
            wanted = os.stat(self._path)
            for fd in map(int, os.listdir("/proc/self/fd")):
                with contextlib.suppress(OSError):  # that of the listing
                    if os.path.samestat(os.fstat(fd), wanted):
                        return fd
        return -1
