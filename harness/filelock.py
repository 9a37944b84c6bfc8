"""Locks between processes, by flock(2): they end with the last process that has them open.

A lock is on a file that stays, or on a directory. A child that inherits the descriptor holds it,
too, which is what is wanted of a child that goes on with the work.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final, Self

from harness.errors import TargetError

_POLL: Final = 0.1


class FileLock:
    """A lock that is held from the constructor until :meth:`release`; a context manager."""

    def __init__(self, path: Path, *, shared: bool = False, wait: float = 0.0) -> None:
        """Take the lock, waiting for up to ``wait`` seconds; a missing file is made.

        Raises BlockingIOError when another process has it all that time, OSError otherwise.
        """
        flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
        self.descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            _lock(self.descriptor, how, time.monotonic() + wait)
        except BaseException:
            os.close(self.descriptor)
            raise

    def release(self) -> None:
        """Let go; may be called twice."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _lock(descriptor: int, how: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_POLL)
        else:
            return


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock on an existing file; a missing one is free."""
    try:
        FileLock(path).release()
    except BlockingIOError:
        return False
    return True


def take(path: Path, what: str, *, wait: float) -> FileLock:
    """Take a lock, or raise TargetError that says what was waited for."""
    try:
        return FileLock(path, wait=wait)
    except BlockingIOError:
        raise TargetError(f"{what} was not free after {wait:g} s ({path} is locked)") from None
