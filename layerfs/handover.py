"""A short queue of byte strings from one thread to another, which either side can end.

Unlike ``queue.Queue``, a producer that waits for room is released when the consumer gives up, and
the producer's error reaches the consumer, after all that came before it.
"""

from __future__ import annotations

import threading
from collections import deque


class Handover:
    """At most ``depth`` items wait; the producer blocks beyond."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._items: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._cancelled = False
        self._error: BaseException | None = None

    def put(self, item: bytes) -> bool:
        """Hand over one item; False when the consumer wants no more."""
        with self._changed:
            while len(self._items) >= self._depth and not self._cancelled:
                self._changed.wait()
            if self._cancelled:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None = None) -> None:
        """Say that nothing more comes, because of ``error`` if there was one."""
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify_all()

    def take(self) -> bytes | None:
        """Wait for the next item; None after the last. Raises the producer's error, each time."""
        with self._changed:
            while not self._items and not self._ended and not self._cancelled:
                self._changed.wait()
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            return None

    def cancel(self) -> None:
        """Want no more: what waits is dropped, and the producer is released."""
        with self._changed:
            self._cancelled = True
            self._items.clear()
            self._changed.notify_all()
