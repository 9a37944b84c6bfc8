"""A little disk space kept back, so that a store on a full disk can still be opened and emptied.

To forget a layer is to write: SQLite's log, an intent, a directory. On a disk without a free block
nothing could be removed any more, and views that filled it could not be ended in order. So a store
holds a file of allocated blocks, which is given up when writing fails, and made again later.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from layerfs.errors import WriteFailedError

NAME: Final = "reserve"
#: Bytes: SQLite's shared memory (32 KiB), and log and intent of a batch of garbage.
SIZE: Final = 512 << 10
#: Seconds; twice what ZFS takes by default.
_PATIENCE: Final = 10.0
_BLOCK: Final = 512  # of st_blocks, stat(2)

_T = TypeVar("_T")


def keep(root: Path) -> None:
    """Make the reserve if it is missing; where there is no room for it, do without."""
    path = root / NAME
    if path.exists():
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return  # no inode, or another process is making it
    try:
        os.posix_fallocate(fd, 0, SIZE)
        if os.fstat(fd).st_blocks * _BLOCK < SIZE:
            # ZFS allocates what is written, and takes nothing for zeros.
            os.pwrite(fd, os.urandom(SIZE), 0)
    except OSError:
        _give_up(path)
    finally:
        os.close(fd)


def spending(root: Path, step: Callable[[], _T]) -> _T:
    """Run ``step``, and once more without the reserve when it fails for want of space.

    Only for what frees space, and can be repeated. Raises what the last ``step`` raises.
    """
    try:
        return step()
    except WriteFailedError:
        before = os.statvfs(root).f_bfree
        if not _give_up(root / NAME):
            raise
    _await_more_than(before, root)
    return step()


def _await_more_than(blocks: int, root: Path) -> None:
    """Wait until what was just deleted can be used: ZFS frees it with the next transaction group.

    That is some seconds later at most (zfs_txg_timeout in zfs(4)); others free at once.
    """
    deadline = time.monotonic() + _PATIENCE
    while os.statvfs(root).f_bfree <= blocks and time.monotonic() < deadline:
        time.sleep(0.02)


def _give_up(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True
