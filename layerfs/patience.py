"""Waits for more of a blob that comes through a pipe or socket, and can be called off.

A thread that sleeps in read(2) cannot be woken by another one: an interrupted operation would wait
for a source that may never go on. So it sleeps in poll(2) instead, with a second descriptor.
"""

from __future__ import annotations

import os
import select
import stat
from typing import Any


class Patience:
    """``raw`` is a descriptor or has ``fileno``; regular files and mere objects never wait."""

    def __init__(self, raw: Any) -> None:
        self._source = _slow(raw)
        self._called_off = -1 if self._source is None else os.eventfd(0, os.EFD_CLOEXEC)

    def wait(self) -> bool:
        """Sleep until the source can be read, or has ended; False: it was called off."""
        if self._source is None:
            return True
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        poll.register(self._called_off, select.POLLIN)
        return self._called_off not in {fd for fd, _ in poll.poll()}

    def call_off(self) -> None:
        """Wake whoever waits, and let nobody wait until ``resume``."""
        if self._source is not None:
            os.eventfd_write(self._called_off, 1)

    def resume(self) -> None:
        """Never wait again: reads sleep by themselves from now on. Idempotent."""
        if self._source is not None:
            self._source = None
            os.close(self._called_off)


def _slow(raw: Any) -> int | None:
    try:
        fd: int = raw if isinstance(raw, int) else raw.fileno()
        mode = os.fstat(fd).st_mode
    except (AttributeError, OSError, ValueError):  # no file, or a closed one: reading it will tell
        return None
    return fd if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode) else None
