"""Start the ``zfs`` and ``zpool`` commands: the one place that does.

posix_spawn(3) rather than ``subprocess``, whose import costs a third of what the command takes. The
process inherits its standard streams and nothing else, and stands in a process group of its own, so
that Ctrl-C does not end it half-way: it ends by itself, or at its time limit.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

#: Debian's users other than root have no sbin in their PATH.
_ALSO: Final = ("/usr/sbin", "/sbin", "/usr/local/sbin")
_CHUNK: Final = 1 << 16
#: How long a killed process may take to go. One that waits for a disk stays as long as that.
_LAST_SECONDS: Final = 5.0


class Done(NamedTuple):
    """How a command ended: exit status (negative: by that signal), and what it wrote."""

    status: int
    output: bytes
    errors: str


def find(command: str) -> str | None:
    """Return the path of a command in PATH or the system's sbin; None when there is none."""
    for folder in [*os.get_exec_path(), *_ALSO]:
        path = os.path.join(folder, command)
        if os.path.isabs(path) and os.access(path, os.X_OK):
            return path
    return None


def run(
    path: str,
    arguments: Sequence[str],
    *,
    seconds: float,
    stdin: int | bytes = b"",
    stdout: int | None = None,
) -> Done:
    """Run a command to its end.

    ``stdin`` is a descriptor, or all that can be read there. ``stdout`` is a descriptor; by default
    the output is returned. After ``seconds`` it is killed: TimeoutError; what it has done by then
    stays done. OSError when it cannot be started.
    """
    with _Pipes() as pipes:
        source = pipes.file_of(stdin) if isinstance(stdin, bytes) else stdin
        errors, errors_to = pipes.pipe()
        output, output_to = (None, stdout) if stdout is not None else pipes.pipe()
        # Above 2 already: the standard streams of a process may be closed, and be taken by these.
        copies = [pipes.copy(fd) for fd in (source, output_to, errors_to)]
        process = os.posix_spawn(
            path,
            [path, *arguments],
            {"LC_ALL": "C", "PATH": os.pathsep.join([*os.get_exec_path(), *_ALSO])},
            file_actions=[
                *((os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(copies)),
                *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable()),
            ],
            setpgroup=0,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE],
        )
        with _Child(process, pipes) as child:
            for fd in (*copies, errors_to, *([] if output is None else [output_to])):
                pipes.close(fd)
            read = [errors] if output is None else [errors, output]
            told = child.collect(read, time.monotonic() + seconds)
            return Done(child.status, told.get(output, b""), told[errors].decode(errors="replace"))


class _Pipes:
    """Descriptors, all closed at the end."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            os.close(self._open.pop())

    def add(self, fd: int) -> int:
        self._open.add(fd)
        return fd

    def close(self, fd: int) -> None:
        self._open.discard(fd)
        os.close(fd)

    def pipe(self) -> tuple[int, int]:
        reader, writer = os.pipe()
        return self.add(reader), self.add(writer)

    def copy(self, fd: int) -> int:
        import fcntl  # noqa: PLC0415 - built in; here for its one use

        return self.add(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3))

    def file_of(self, data: bytes) -> int:
        # A file, not a pipe: writing one would have to wait for its reader.
        fd = self.add(os.memfd_create("stdin", os.MFD_CLOEXEC))
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        return fd


class _Child:
    """A process that ends with the block: by itself, or killed."""

    def __init__(self, process: int, pipes: _Pipes) -> None:
        self.process = process
        self.status = 0
        self._ended = False
        self._fd = pipes.add(os.pidfd_open(process))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._ended:
            signal.pidfd_send_signal(self._fd, signal.SIGKILL)
            if _readable([self._fd], time.monotonic() + _LAST_SECONDS):
                self._reap()

    def collect(self, sources: list[int], deadline: float) -> dict[int | None, bytes]:
        """Read the sources to their ends, and wait for the end of the process."""
        told: dict[int | None, bytearray] = {fd: bytearray() for fd in sources}
        waiting = [*sources, self._fd]
        while waiting:
            ready = _readable(waiting, deadline)
            if not ready:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            for fd in ready:
                if fd == self._fd:
                    self._reap()
                    waiting.remove(fd)
                elif chunk := os.read(fd, _CHUNK):
                    told[fd] += chunk
                else:
                    waiting.remove(fd)
        return {fd: bytes(data) for fd, data in told.items()}

    def _reap(self) -> None:
        self._ended = True
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


def _inheritable() -> list[int]:
    """Return the descriptors that a new process would get: none but what others have left so."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
        except OSError:  # the listing's own, closed by now
            continue
    return found


def _readable(fds: list[int], deadline: float) -> list[int]:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    left = max(0.0, deadline - time.monotonic())
    return [fd for fd, _ in poll.poll(left * 1000)]
