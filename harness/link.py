"""The harness's end of the link to a host: one SSH channel, on which :mod:`harness.relay` runs.

Two threads of our own serve it until it ends: one runs the loop (:class:`harness.mux.Mux`), the
other writes to the channel, since a write may have to wait for the network. A command's streams and
its fate are pipes of this process, so that whoever talks to it needs no thread, and no lock.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import paramiko

from harness import relay
from harness.errors import RemoteError, TargetError
from harness.mux import FAREWELL, HELLO, OPEN, SIGNAL, STDERR, STDIN, STDOUT, TOLD, LinkError, Mux
from harness.packing import packed
from harness.site import Streams

#: Seconds between two signs of life, and without any before the host is taken for dead. A network
#: that is cut for 30 s must do no harm, and TCP may then take as long again before it tries again:
#: it doubles its waits (RFC 6298, 5.5).
PING: Final = 5.0
SILENCE: Final = 75.0
#: Seconds for the host to make, and to take away, the target.
_TIMEOUT: Final = 120.0
_CHUNK: Final = 256 * 1024
_STDERR_KEPT: Final = 64 * 1024

#: Reads a zip file with the relay, and its settings, from standard input, not a byte more, and runs
#: it. Each of the two comes after its length.
_BOOTSTRAP: Final = """
import os, sys
def exactly(left):
    parts = []
    while left:
        parts.append(os.read(0, left))
        if not parts[-1]: sys.exit("the connection has ended")
        left -= len(parts[-1])
    return b"".join(parts)
def take():
    return exactly(int(exactly(10)))
memory = os.memfd_create("relay")
with open(memory, "wb", closefd=False) as file:
    file.write(take())
sys.path.insert(0, "/proc/self/fd/%d" % memory)
from harness.relay import main
main(take().decode())
"""


class Link(Mux):
    """A relay at work on ``channel``, an SSH channel that runs nothing yet.

    ``settings`` are for :func:`harness.relay.main`; ``hello`` is what it has to say. Raises
    TargetError when no relay can be started there, or it cannot make a target.
    """

    def __init__(self, channel: paramiko.Channel, name: str, settings: Mapping[str, Any]) -> None:
        channel.exec_command(shlex.join(["exec", "python3", "-I", "-S", "-c", _BOOTSTRAP]))
        self._channel = channel
        self._name = name
        self._numbers = itertools.count(1)
        self._fates: dict[int, _Fate] = {}
        self._errors = b""
        self._hello: dict[str, Any] | None = None
        self._greeted = threading.Event()
        self._gate = threading.Lock()
        self._posted: deque[Callable[[], None]] = deque()
        self._closing = False
        self.reason = ""  #: why it has ended; empty while it has not
        self._woken, self._wake = os.pipe()
        outlet, inlet = os.pipe()
        # The relay has first to start, which may take long, and to make the target.
        super().__init__(channel.fileno(), self._receive, inlet, ping=PING, silence=_TIMEOUT)
        os.set_blocking(self._wake, False)
        for part in (packed(relay.MODULES), json.dumps(settings).encode()):
            self._out += b"%010d" % len(part) + part
        self._writer = threading.Thread(target=self._send_all, args=(outlet,), daemon=True)
        self._loop = threading.Thread(target=self._run, daemon=True)
        self._writer.start()
        self._loop.start()
        self.hello = self._greet()

    def _greet(self) -> dict[str, Any]:
        for _ in range(int(_TIMEOUT)):  # a second at a time: only those count in which we run
            if self._greeted.wait(1.0):
                break
        hello = self._hello
        if hello is not None and "facts" in hello:
            return hello
        reason = self.reason or f"{self._name} made no target in {_TIMEOUT:g} s"
        self.abandon()
        if hello is not None and "no_marker" in hello:
            raise TargetError(
                f"{self._name} has no file {hello['no_marker']}, which says that the host is "
                "disposable. The suite runs as root there, and what it judges may damage anything; "
                f"if nothing on that host is worth keeping: touch {hello['no_marker']}"
            )
        raise TargetError(f"{self._name}: {hello['error']}" if hello is not None else reason)

    # --- for any thread ---------------------------------------------------------------------------

    def begin(self, request: Mapping[str, Any]) -> Streams:
        """Ask for a command (:mod:`harness.agent`). Raises RemoteError when the link has ended."""
        number = next(self._numbers)
        payload = json.dumps(request).encode()
        with contextlib.ExitStack() as made:
            ends: list[tuple[int, int]] = []
            for _ in Streams._fields:
                ends.append(os.pipe())
                for descriptor in ends[-1]:
                    made.callback(os.close, descriptor)
            (fate, fate_in), (stdin_out, stdin), (stdout, stdout_in), (stderr, stderr_in) = ends

            def action() -> None:
                self.read_into_link(number, STDIN, stdin_out)
                self.write_from_link(number, STDOUT, stdout_in)
                self.write_from_link(number, STDERR, stderr_in)
                self._fates[number] = _Fate(fate_in)
                self.send(OPEN, number, payload=payload)

            self._post(action)
            made.pop_all()
        return Streams(fate, stdin, stdout, stderr)

    def signal(self, pid: int, number: int) -> None:
        """Signal the group of a command that still runs; nothing when the link has ended."""
        payload = json.dumps({"pid": pid, "signal": number}).encode()
        with contextlib.suppress(RemoteError):
            self._post(lambda: self.send(SIGNAL, 0, payload=payload))

    def close(self) -> None:
        """Let the relay take the target away, and wait for that. Raises RemoteError.

        Nothing when the link has ended already: the relay does so by itself then.
        """

        def action() -> None:
            self._closing = True

        try:
            self._post(action)
        except RemoteError:
            self.abandon()
            return
        self._loop.join(_TIMEOUT)
        late = self._loop.is_alive()
        if not late:
            self._channel.status_event.wait(_TIMEOUT)
        self.abandon()
        if late or self._channel.exit_status != 0:
            why = self._said() or self.reason
            raise RemoteError(f"{self._name} has not taken the target away: {why}")

    def abandon(self) -> None:
        """End the link without a word; what waits for it ends with RemoteError."""
        self._channel.get_transport().close()
        self._loop.join(_TIMEOUT)
        self._writer.join(_TIMEOUT)

    def _post(self, action: Callable[[], None]) -> None:
        """Let the loop's thread do something. Raises RemoteError when there is no loop."""
        with self._gate:
            if self.reason:
                raise RemoteError(self.reason)
            self._posted.append(action)
            with contextlib.suppress(BlockingIOError):  # it will wake up anyway
                os.write(self._wake, b"\0")

    # --- for the loop's thread --------------------------------------------------------------------

    def _run(self) -> None:
        reason = f"the connection to {self._name} has ended"
        try:
            self.serve()
        except LinkError as error:
            reason += f": {error}"
        finally:
            self._bury(reason)

    def _bury(self, reason: str) -> None:
        """Close all that the loop served, and let everybody know."""
        if self._write_to >= 0:
            self.hang_up()
        said = self._said()
        with self._gate:
            self.reason = f"{reason}: {said}" if said else reason
            while self._posted:
                self._posted.popleft()()
        # Fates first: whoever finds a stream closed can then tell that it is not the command's end.
        for fate in self._fates.values():
            os.close(fate.descriptor)
        self._fates.clear()
        self.close_pipes()
        os.close(self._woken)
        os.close(self._wake)
        self._greeted.set()

    def _receive(self) -> bytes | None:
        ended = self._channel.eof_received or self._channel.closed  # before looking for more
        while self._channel.recv_stderr_ready():
            self._errors = (self._errors + self._channel.recv_stderr(_CHUNK))[-_STDERR_KEPT:]
        if self._channel.recv_ready():
            data: bytes = self._channel.recv(_CHUNK)
            return data
        return b"" if ended else None

    def _said(self) -> str:
        lines = self._errors.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def watched(self) -> list[int]:
        """Return what wakes the loop."""
        return [self._woken]

    def readable(self, descriptor: int) -> None:
        """Do what other threads have posted."""
        os.read(descriptor, 4096)
        while self._posted:
            self._posted.popleft()()

    def other(self, kind: int, number: int, payload: bytes) -> None:
        """Take what the relay tells of commands and of itself."""
        if kind == HELLO:
            self._hello = json.loads(payload)
            self._silence = SILENCE
            self._errors = b""  # what a shell says while it starts is no reason for anything later
            self._greeted.set()
        elif kind == FAREWELL:
            raise LinkError(json.loads(payload)["error"])
        elif kind == TOLD:
            fate = self._fates.get(number)
            if fate is None:
                return
            if b'"status"' in payload:
                fate.status, fate.marks = payload, self.marks(number)
            else:
                _tell(fate.descriptor, payload)
                if b'"error"' in payload:
                    self._forget(number)
        else:
            super().other(kind, number, payload)

    def settle(self) -> None:
        """Tell of commands that have ended, once their output can be read; end when asked to."""
        for number, fate in list(self._fates.items()):
            if fate.status and self.passed(fate.marks):
                _tell(fate.descriptor, fate.status)
                self._forget(number)

        if self._closing and self._write_to >= 0 and not self._out:
            self.hang_up()  # at the end of its input the relay takes the target away

    def _forget(self, number: int) -> None:
        os.close(self._fates.pop(number).descriptor)

    # --- the writer's thread ----------------------------------------------------------------------

    def _send_all(self, outlet: int) -> None:
        try:
            while data := os.read(outlet, _CHUNK):
                self._channel.sendall(data)
            self._channel.shutdown_write()
        # EOFError and SSHException as well: paramiko's, when the connection ends meanwhile.
        except (OSError, EOFError, paramiko.SSHException):  # the loop is told by the channel's end
            pass
        finally:
            os.close(outlet)


class _Fate:
    """A command's fate, told to whoever waits for it; its status when the output has passed."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.status = b""
        self.marks: list[tuple[int, int, int]] = []


def _tell(descriptor: int, line: bytes) -> None:
    # Nobody may be interested any more.
    with contextlib.suppress(BrokenPipeError):
        os.write(descriptor, line + b"\n")
