"""Keep the disk busy with what has been written, while more is being written.

A layer is made durable by one syncfs(2) at its end. If nothing of it has been written back by
then, the disk has idled all the while, and now the processor does.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Final

from layerfs import syscalls
from layerfs.errors import LayerFSError

#: A sync is begun each time that so many bytes more have been written.
EVERY: Final = 32 << 20


class EarlySync:
    """Syncs the file system of ``fd`` in a thread, now and then. Nothing is promised by it.

    What fails is not told here: since Linux 5.8 syncfs(2) reports an error of writing back to each
    descriptor that was open, so the sync that counts reports it as well.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.next = EVERY  #: when so many bytes have been written, there is something to do
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._ended = False

    def reached(self, size: int) -> None:
        """Say how many bytes have been written in all."""
        if size < self.next:
            return
        self.next = size + EVERY
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="layerfs-early-sync", daemon=True)
            with contextlib.suppress(RuntimeError):  # RLIMIT_NPROC, pids.max
                thread.start()
                self._thread = thread
        self._wanted.set()

    def close(self) -> None:
        """End the thread; waits for a sync that is going on."""
        self._ended = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while self._wanted.wait() and not self._ended:
            self._wanted.clear()
            with contextlib.suppress(OSError):
                syscalls.syncfs(self._fd)


@contextlib.contextmanager
def meanwhile(sync: Callable[[], None]) -> Iterator[None]:
    """Sync while the block runs; raises what ``sync`` raises, a LayerFSError, after the block."""
    failed: list[LayerFSError] = []

    def run() -> None:
        try:
            sync()
        except LayerFSError as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="layerfs-sync")
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failed:
        raise failed[0]
