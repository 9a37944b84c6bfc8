"""What carries commands to a host: the one interface between the harness and any target.

The life cycle: a remote is made ready by its constructor; ``run`` and ``start`` may then be called
from several threads; ``close`` ends everything that was started and takes away everything that the
target was made of. After ``close``, or when the target has died, every call raises
:class:`harness.errors.RemoteError`.

Commands are argument lists: nothing is ever given to a shell unless the caller names one. A
command runs as leader of a process group of its own, which is killed as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

#: Bytes kept of a command's standard output: the first ones. The rest is read and thrown away.
MAX_OUTPUT = 64 * 1024 * 1024
#: Bytes kept of a command's standard error: the last ones.
TAIL = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Completed:
    """One command that has ended.

    ``status`` is its exit status, or the negative number of the signal that killed it; ``duration``
    is in seconds. ``truncated`` says that standard output was longer than :data:`MAX_OUTPUT`.
    """

    status: int
    stdout: bytes
    stderr: bytes
    duration: float
    truncated: bool = False


class Channel(Protocol):
    """One running command with open streams. A context manager: leaving it closes it."""

    @property
    def pid(self) -> int:
        """The process's number as processes on the host see it."""

    @property
    def returncode(self) -> int | None:
        """None while it runs; then as :attr:`Completed.status`."""

    @property
    def stderr(self) -> bytes:
        """The last :data:`TAIL` bytes that it has written to standard error so far."""

    def send_line(self, line: bytes, timeout: float = 60.0) -> None:
        """Write ``line`` and a newline.

        Raises BrokenPipeError when the command no longer reads, RemoteTimeoutError when it does
        not read in ``timeout`` seconds (it is not killed then).
        """

    def read_line(self, timeout: float) -> bytes:
        """Return the next line of standard output without its newline.

        Raises EOFError when the stream ends before a whole line (``partial`` output is lost),
        RemoteTimeoutError after ``timeout`` seconds (the command is not killed), ValueError for a
        line of more than :data:`MAX_OUTPUT` bytes.
        """

    def take_stderr(self) -> bytes:
        """Return what it has written to standard error since the last call, up to TAIL bytes."""

    def close_input(self) -> None:
        """Close the command's standard input; nothing when that is done already."""

    def signal(self, number: int) -> None:
        """Send a signal to the command's process group; nothing when it has ended.

        It is on its way when this returns, and may arrive a moment later.
        """

    def finish(self, stdin: bytes = b"", *, timeout: float) -> Completed:
        """Write ``stdin``, close it, read both streams and wait for the end.

        Raises RemoteTimeoutError after ``timeout`` seconds, when the process group has been killed;
        it has what was written until then.
        """

    def close(self, timeout: float = 5.0) -> None:
        """Close standard input, wait ``timeout`` seconds for the end, then kill the group.

        Raises RemoteTimeoutError when that does not end it; nothing when the target has died.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Remote(Protocol):
    """One host.

    ``name`` is that of the target (``"local"``); ``python`` an interpreter on the host for what the
    subject runs, ``workdir`` an absolute path there, private to this remote and gone after
    ``close``; ``facts`` what only the transport knows of the host, in JSON types. ``installs`` is a
    path there, perhaps missing, for what subjects need; None where the host has this machine's
    files, at their paths.
    """

    name: str
    installs: str | None
    python: str
    workdir: str
    facts: Mapping[str, Any]

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 60.0,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        """Run a command to its end; ``env`` is added to the target's environment.

        Any exit status is a result. Raises RemoteTimeoutError after ``timeout`` seconds, when the
        process group has been killed; FileNotFoundError or PermissionError when the program cannot
        be started; RemoteError when the transport fails.
        """

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Channel:
        """Start a command and talk to it; raises as :meth:`run`, without the time-out."""

    def put(self, data: bytes, path: str) -> None:
        """Write a file on the host; its parent must be there. Raises RemoteError."""

    def get(self, path: str) -> bytes:
        """Read a file of the host. Raises RemoteError."""

    def pids(self) -> frozenset[int]:
        """Return the processes that this remote itself keeps running on the host right now."""

    def close(self) -> None:
        """End all that was started and remove the target. May be called twice."""
