"""Streams through a pipe, with ZFS at its other end: in a thread, since both ends have to wait.

Neither the library nor the command hands out a stream piece by piece. The pipe holds what the other
end has not taken yet, so that no more than that is ever in memory. However the block ends, the pipe
is closed then, which ends what ZFS is doing, and the thread has ended before the block is left.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from layerfs.errors import StorageError
from layerfs.zfs.failure import ZfsFailure

if TYPE_CHECKING:
    from layerfs.zfs import Streams


@contextlib.contextmanager
def sending(zfs: Streams, snapshot: str, from_: str | None) -> Iterator[Callable[[int], bytes]]:
    """Give what reads the stream of a snapshot: ``n`` bytes, less at its end only, then none.

    ``from_`` as in ``Streams.send``. Raises ZfsFailure at the end of the block, where the stream
    was not whole.
    """
    reader, writer = os.pipe()
    with _aside(lambda: zfs.send(snapshot, writer, from_), writer, reader):
        yield lambda n: _filled(reader, n)


@contextlib.contextmanager
def receiving(
    zfs: Streams, snapshot: str, properties: Mapping[str, str], origin: str | None
) -> Iterator[Callable[[bytes], None]]:
    """Give what takes the stream of a snapshot, piece by piece; the arguments as of ``receive``.

    What comes after ZFS has failed is taken, and dropped. Raises ZfsFailure at the end of the
    block, where it has.
    """
    reader, writer = os.pipe()
    with _aside(lambda: zfs.receive(snapshot, reader, properties, origin), reader, writer):
        yield lambda data: _written(writer, data)


@contextlib.contextmanager
def _aside(step: Callable[[], None], its: int, ours: int) -> Iterator[None]:
    """Run ``step`` in a thread, and close its end of the pipe then; close ours with the block."""
    failures: list[ZfsFailure] = []

    def run() -> None:
        try:
            step()
        except ZfsFailure as failure:
            failures.append(failure)
        finally:
            os.close(its)

    thread = threading.Thread(target=run, name="layerfs-zfs-stream", daemon=True)
    try:
        try:
            thread.start()
        except RuntimeError as error:  # RLIMIT_NPROC, pids.max
            os.close(its)
            raise StorageError(f"no thread for a stream of zfs: {error}") from error
        yield
    finally:
        os.close(ours)
        if thread.ident is not None:
            thread.join()
    for failure in failures:
        raise failure


def _filled(reader: int, left: int) -> bytes:
    """Read on where a pipe gives less: that may be as little as a page at a time."""
    parts = []
    while left and (data := os.read(reader, left)):
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def _written(writer: int, data: bytes) -> None:
    left = memoryview(data)
    with contextlib.suppress(BrokenPipeError):  # ZFS has failed, and will say why
        while left:
            left = left[os.write(writer, left) :]
