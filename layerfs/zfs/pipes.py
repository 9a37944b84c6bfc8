"""Streams through a pipe, with ZFS at its other end: in a thread, since both ends have to wait.

Neither the library nor the command hands out a stream piece by piece. The pipe holds what the other
end has not taken yet, so that no more than that is ever in memory. However the block ends, the pipe
is closed then, which ends what ZFS is doing, and the thread has ended before the block is left.

The thread has a table of descriptors of its own, without our end. A process that is killed so
closes that end, whatever the thread does; otherwise the thread, in the kernel, would keep it open,
and wait for it: ZFS loses a kill that comes just before it starts threads of its own (OpenZFS,
``spl_kthread_create``), and the process could never be ended.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from layerfs import syscalls
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
    failures: list[Exception] = []
    apart = threading.Event()

    def run() -> None:
        try:
            syscalls.unshare(syscalls.CLONE_FILES)
        except OSError as error:
            text = f"no thread for a stream of zfs: {error.strerror}"
            failures.append(StorageError(text, errno=error.errno))
            return
        finally:
            apart.set()
        os.close(ours)
        try:
            step()
        except ZfsFailure as failure:
            failures.append(failure)
        finally:
            os.close(its)

    thread = threading.Thread(target=run, name="layerfs-zfs-stream", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # RLIMIT_NPROC, pids.max
        os.close(its)
        os.close(ours)
        raise StorageError(f"no thread for a stream of zfs: {error}") from error
    try:
        apart.wait()
        # The thread is to have the only descriptor of its end. The number stays in use: should the
        # garbage collector close a file of ours while it runs in that thread, it is another.
        os.dup2(ours, its, inheritable=False)
        yield
    finally:
        apart.wait()  # where a signal's handler has raised while it was waited for
        os.close(its)
        os.close(ours)
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
