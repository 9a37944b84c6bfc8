"""A channel over three pipes and a process: reading, writing and time-outs in one place.

No threads: whichever call is waiting also reads what the other streams have, so that a command
that floods one of them never blocks while it is being talked to.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from types import TracebackType
from typing import Final, Protocol, Self

from harness.errors import RemoteError, RemoteTimeoutError
from harness.remote import MAX_OUTPUT, TAIL, Completed

_CHUNK: Final = 1024 * 1024


class Process(Protocol):
    """What a channel must know of the process at the other end of its pipes."""

    pid: int
    patience: float  #: seconds for it to be gone once it has been killed

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the process has ended."""

    def reap(self) -> int:
        """Return the status once the descriptor is readable. Raises RemoteError if it is lost."""

    def signal(self, number: int) -> None:
        """Send a signal to the process group; nothing when it has ended."""

    def close(self) -> None:
        """Give the descriptor back."""


class PipeChannel:
    """A :class:`harness.remote.Channel`; the descriptors are its own, and closed by ``close``."""

    def __init__(self, process: Process, stdin: int, stdout: int, stderr: int) -> None:
        self._process = process
        self._open = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        for descriptor in self._open.values():
            os.set_blocking(descriptor, False)
        self._status: int | None = None
        self._lines = bytearray()
        self._searched = 0
        self._truncated = False
        self._errors = bytearray()
        self._new_errors = 0
        self._closed = False
        self._started = time.monotonic()

    @property
    def pid(self) -> int:
        """The process's number on the host."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        if self._status is None and not self._closed:
            self._look(0.0)
        return self._status

    @property
    def stderr(self) -> bytes:
        """The end of standard error so far."""
        self._read_all_there_is()
        return bytes(self._errors)

    def take_stderr(self) -> bytes:
        """Return what is new on standard error."""
        self._read_all_there_is()
        taken, self._new_errors = self._new_errors, 0
        return bytes(self._errors[len(self._errors) - min(taken, len(self._errors)) :])

    def send_line(self, line: bytes, timeout: float = 60.0) -> None:
        """Write one line; see Channel for the errors."""
        deadline = time.monotonic() + timeout
        left = memoryview(line + b"\n")
        while left:
            left = left[self._write(left) :]
            if left and not self._look(deadline - time.monotonic(), writing=True):
                raise RemoteTimeoutError(f"the command did not read its input in {timeout:g} s")

    def read_line(self, timeout: float) -> bytes:
        """Read one line; see Channel for the errors."""
        deadline = time.monotonic() + timeout
        while True:
            end = self._lines.find(b"\n", self._searched)
            if end >= 0:
                line = bytes(self._lines[:end])
                del self._lines[: end + 1]
                self._searched = 0
                return line
            self._searched = len(self._lines)
            if self._truncated:
                raise ValueError(f"a line of more than {MAX_OUTPUT} bytes")
            if "stdout" not in self._open:
                raise EOFError("standard output has ended")
            left = deadline - time.monotonic()
            if not self._look(left) and left <= 0:
                raise RemoteTimeoutError(f"the command wrote no line in {timeout:g} s")
            if self._status is not None and not self._look(0.0):
                raise EOFError("the command has ended")

    def close_input(self) -> None:
        """Close the command's standard input."""
        self._shut("stdin")

    def signal(self, number: int) -> None:
        """Send a signal to the process group; nothing when it has ended."""
        if self._status is None and not self._closed:
            self._process.signal(number)

    def finish(self, stdin: bytes = b"", *, timeout: float) -> Completed:
        """Feed it, read it empty, wait for its end; see Channel for the errors."""
        deadline = time.monotonic() + timeout
        left = memoryview(stdin)
        try:
            while not self._is_over():
                if left and "stdin" in self._open:
                    with contextlib.suppress(BrokenPipeError):
                        left = left[self._write(left) :]
                if not left:
                    self.close_input()
                more = deadline - time.monotonic()
                if not self._look(more, writing=bool(left)) and more <= 0:
                    self._kill()
                    raise RemoteTimeoutError(
                        f"the command did not end in {timeout:g} s and was killed",
                        stdout=bytes(self._lines),
                        stderr=self.take_stderr(),
                    )
            assert self._status is not None
            duration = time.monotonic() - self._started
            stdout = bytes(self._lines)
            return Completed(
                self._status, stdout, self.take_stderr(), duration, truncated=self._truncated
            )
        finally:
            self._give_back()

    def close(self, timeout: float = 5.0) -> None:
        """End it, by force after ``timeout`` seconds, and close everything."""
        if self._closed:
            return
        try:
            self.close_input()
            deadline = time.monotonic() + timeout
            while self._status is None and time.monotonic() < deadline:
                self._look(deadline - time.monotonic())
            if self._status is None:
                self._kill()
        except RemoteTimeoutError:
            raise
        except RemoteError:  # whatever it was, it has gone with the target
            pass
        finally:
            self._give_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After an error nobody knows whether the command still listens to its input.
        self.close(5.0 if error is None else 0.0)

    def _is_over(self) -> bool:
        """Say whether it has ended and nothing is left to read.

        A descendant that keeps a stream open is not waited for: it may be there for ever.
        """
        if self._status is None:
            return False
        return not self._look(0.0)

    def _kill(self) -> None:
        """Kill the group and wait until the leader is gone. Raises RemoteError."""
        self._process.signal(signal.SIGKILL)
        deadline = time.monotonic() + self._process.patience
        while self._status is None:
            left = deadline - time.monotonic()
            if not self._look(left) and left <= 0:
                raise RemoteTimeoutError(f"process {self.pid} survives SIGKILL")
        self._read_all_there_is()

    def _give_back(self) -> None:
        if not self._closed:
            self._closed = True
            for name in ("stdin", "stdout", "stderr"):
                self._shut(name)
            self._process.close()

    def _write(self, data: memoryview) -> int:
        """Write what fits right now. Raises BrokenPipeError, and closes the pipe, at its end."""
        if "stdin" not in self._open:
            raise BrokenPipeError("standard input is closed")
        try:
            return os.write(self._open["stdin"], data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            self.close_input()
            if self._status is None:
                self._look(0.0)  # raises RemoteError when it is not the command that has gone
            raise

    def _read_all_there_is(self) -> None:
        while not self._closed and self._look(0.0):
            pass

    def _look(self, timeout: float, *, writing: bool = False) -> bool:
        """Wait for something to happen, take it in, and say whether anything did.

        Once the process has ended nothing is waited for: what it wrote is there already.
        """
        if self._status is not None:
            timeout = 0.0
        poller = select.poll()
        for name, descriptor in self._open.items():
            if name != "stdin":
                poller.register(descriptor, select.POLLIN)
            elif writing:
                poller.register(descriptor, select.POLLOUT)
        if self._status is None:
            poller.register(self._process.fileno(), select.POLLIN)
        ready = {descriptor for descriptor, _ in poller.poll(max(0.0, timeout) * 1000)}
        # The end is noted first: whatever the process wrote before it is then still to be read.
        if self._status is None and self._process.fileno() in ready:
            self._status = self._process.reap()
        if self._open.get("stdout") in ready:
            data = self._read("stdout")
            room = MAX_OUTPUT - len(self._lines)
            self._truncated |= len(data) > room
            self._lines += data[:room]
        if self._open.get("stderr") in ready:
            data = self._read("stderr")
            self._errors += data
            self._new_errors += len(data)
            del self._errors[:-TAIL]
        return bool(ready)

    def _read(self, name: str) -> bytes:
        data = os.read(self._open[name], _CHUNK)
        if not data:
            self._shut(name)
        return data

    def _shut(self, name: str) -> None:
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)
