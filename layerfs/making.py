"""Add a layer that is made here: by a merge, or from the changes of a view.

A small one is written to ``staging/<op>/blob``, and then read like any other. While a large one is
still being written, a helper process (``following``) reads what there is of it, hashes it, and
extracts it: the work of two processors, and of the disk, goes on at the same time.

The helper takes no part in what is decided. It is killed when this process dies or gives up, and
what it extracted goes with the operation's directory.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from layerfs import adding, following
from layerfs.backends import Sink
from layerfs.backends.overlay import OverlayBackend
from layerfs.errors import LayerFSError, StorageError, from_os_error, retold
from layerfs.opening import Parts
from layerfs.reading import Reading
from layerfs.records import Layer
from layerfs.staging import Operation

if TYPE_CHECKING:
    from layerfs.command import Helper

Progress = Callable[[int, int | None], None]

#: Bytes of a layer that are written before a helper is started: to do all of it takes less time
#: than to start one.
_LARGE: Final = 4 << 20
#: The helper is told after so many bytes.
_TELL: Final = 256 << 10


def make(
    parts: Parts, write: Callable[[Sink, Path], None], progress: Progress | None = None
) -> Layer:
    """Add the uncompressed layer that ``write`` writes; ``progress`` is told how far it is.

    ``write`` is given a sink, and the operation's directory.

    Raises what ``write`` raises, what reading a layer raises, WriteFailedError, StorageError. Then
    nothing is left, and no process.
    """
    with parts.staging.operation() as operation:
        with _Blob(parts, operation, progress) as blob:
            write(blob, operation.path)
            if (reading := blob.finish()) is not None:
                return adding.add_extracted(parts, operation, reading)
        return adding.add_staged(parts, operation, adding.Extra(progress=progress))


class _Blob:
    """The file that the layer is written to, and who follows. A context manager."""

    def __init__(self, parts: Parts, operation: Operation, progress: Progress | None) -> None:
        self._parts = parts
        self._operation = operation
        self._progress = progress
        self._size = 0
        self._told = 0
        self._follower: _Follower | None = None
        self._may_follow = isinstance(parts.backend, OverlayBackend)
        try:
            self._fd = os.open(
                operation.blob, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666
            )
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> LayerFSError:
        return from_os_error(error, "writing layer", str(self._operation.blob))

    def write(self, data: bytes, /) -> None:
        """Take all of ``data``."""
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError as error:
            raise self._unwritable(error) from error
        self._size += len(data)
        if self._size - self._told >= _TELL:
            self._tell()
        if self._progress is not None:
            self._progress(self._size, None)

    def _tell(self) -> None:
        self._told = self._size
        if self._follower is not None:
            self._follower.tell(self._size)
        elif self._may_follow and self._size >= _LARGE:
            self._may_follow = False
            self._follower = self._started()

    def _started(self) -> _Follower | None:
        """Return a helper; None: there can be none, and all is done here, afterwards."""
        from layerfs import command  # noqa: PLC0415 - only a large layer waits for it

        with contextlib.suppress(OSError):  # no memory, too many processes
            if command.are_possible():
                return _Follower(self._parts, self._operation)
        return None

    def finish(self) -> Reading | None:
        """Wait for the helper, and return what it found; None when there is none."""
        if self._follower is None:
            return None
        return self._follower.finish(self._size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._follower is not None:
            self._follower.close()
        os.close(self._fd)


class _Follower:
    """The helper process. OSError when it cannot be started."""

    def __init__(self, parts: Parts, operation: Operation) -> None:
        from layerfs import command  # noqa: PLC0415 - only a large layer waits for it

        assert isinstance(parts.backend, OverlayBackend), "see _Blob"
        grown, self._grown = os.pipe()
        try:
            setup = following.Setup(
                root=os.fspath(parts.root),
                features=parts.backend.features.to_json(),
                tree=os.fspath(operation.new_tree()),
                blob=os.fspath(operation.blob),
                limits=None if parts.limits is None else asdict(parts.limits),
            )
            self._process: Helper = command.start(
                following.__name__, [json.dumps(asdict(setup))], stdin=grown, stdout=command.PIPE
            )
        except BaseException:
            os.close(self._grown)
            raise
        finally:
            os.close(grown)

    def tell(self, size: int, *, last: bool = False) -> None:
        """Say how long the blob is by now. Raises what the helper failed with, if it has."""
        try:
            os.write(self._grown, following.told(size, last=last))
        except BrokenPipeError:
            self._answer()
            raise self._died() from None

    def finish(self, size: int) -> Reading:
        """Say how long the blob is in the end; return what the helper found, or raise its error."""
        self.tell(size, last=True)
        return self._answer()

    def _answer(self) -> Reading:
        assert self._process.stdout is not None, "made with a pipe"
        answer = self._process.stdout.readline()
        if not answer:
            raise self._died()
        found: dict[str, Any] = json.loads(answer)
        if "error" in found:
            raise retold(found["error"])
        return Reading(**found)

    def _died(self) -> StorageError:
        status = self._process.wait()
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        return StorageError(f"the helper process that extracts the layer ended with {how}")

    def close(self) -> None:
        """End the helper, if it has not ended; idempotent."""
        os.close(self._grown)
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
