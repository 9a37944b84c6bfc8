"""Many pipes over one link: what is written at one end of it is read at the other.

Both ends run the same loop. Each pipe has a window: so many bytes may be on their way which nobody
has read yet. So one that is not read holds up no other, and memory is bounded. That nobody writes,
or nobody reads, any more is told to the other end. A link that is silent too long is dead.

Frames: kind, number of the command, stream, length (each side's own kinds in between), and so many
bytes. What a command wrote to standard error before it wrote to standard output can be read before.

Standard library only and fit for Python 3.9: :mod:`harness.relay` takes it along to a host.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time
from collections.abc import Callable, Mapping
from typing import Final

STDIN, STDOUT, STDERR = range(3)

DATA, END, STOP, CREDIT, PING, PONG = range(6)
#: The request of a command; a line of its fate; a signal; what a relay says first, and at last.
OPEN, TOLD, SIGNAL, HELLO, FAREWELL = range(16, 21)

#: Bytes of one pipe on their way.
WINDOW: Final = 256 * 1024
_HEADER: Final = struct.Struct(">BIBI")
_PIECE: Final = 64 * 1024
#: Bytes that may wait for the link before no pipe is read any more.
_QUEUE: Final = 1024 * 1024
#: No frame is longer: the longest is a request, with arguments and an environment.
_LONGEST: Final = 16 * 1024 * 1024


class LinkError(Exception):
    """The link cannot go on; the message says why."""


class _Source:
    """A pipe that we read from."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.credit = WINDOW
        self.count = 0  #: bytes read so far
        self.after = -1  #: of standard error's bytes, those that must go first; -1: not known yet


class _Sink:
    """A pipe that we write to."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.waiting = bytearray()
        self.count = 0  #: bytes written so far
        self.owed = 0  #: of these, what the other end has not been told
        self.after = 0  #: of standard error's bytes, those that must go first
        self.ended = False


class Mux:
    """One end of a link. All but the constructor is for the thread that runs ``serve``.

    ``read_from`` becomes readable when ``read`` has something: bytes, none at the link's end, or
    None after all. What is written to ``write_to`` reaches the other end, and its being closed says
    that there is no more. Every ``ping`` seconds the other end is asked for a sign of life; after
    ``silence`` seconds without any the link is dead.
    """

    def __init__(
        self,
        read_from: int,
        read: Callable[[], bytes | None],
        write_to: int,
        *,
        ping: float,
        silence: float,
    ) -> None:
        self._read_from = read_from
        self._read = read
        self._write_to = write_to
        os.set_blocking(write_to, False)
        self._ping = ping
        self._silence = silence
        self._sources: dict[tuple[int, int], _Source] = {}
        self._sinks: dict[tuple[int, int], _Sink] = {}
        self._in = bytearray()
        self._out = bytearray()

    # --- for the two kinds of ends ----------------------------------------------------------------

    def other(self, kind: int, number: int, payload: bytes) -> None:
        """Take a frame that is not about a pipe."""
        raise LinkError(
            f"a frame of kind {kind} for {number}, with {len(payload)} bytes, is not expected here"
        )

    def watched(self) -> list[int]:
        """Return further descriptors that become readable."""
        return []

    def readable(self, descriptor: int) -> None:
        """Take what a watched descriptor has."""

    def settle(self) -> None:
        """Do what waited for something; called before each wait."""

    def is_over(self) -> bool:
        """Whether this end wants no more; what is to be sent has been sent then."""
        return False

    def send(self, kind: int, number: int, stream: int = 0, payload: bytes = b"") -> None:
        """Queue one frame."""
        self._out += _HEADER.pack(kind, number, stream, len(payload)) + payload

    def read_into_link(self, number: int, stream: int, descriptor: int) -> None:
        """Send what can be read from ``descriptor``, which is ours from now on."""
        os.set_blocking(descriptor, False)
        self._sources[number, stream] = _Source(descriptor)

    def write_from_link(self, number: int, stream: int, descriptor: int) -> None:
        """Write what comes to ``descriptor``, which is ours from now on."""
        os.set_blocking(descriptor, False)
        self._sinks[number, stream] = _Sink(descriptor)

    def marks(self, number: int) -> list[tuple[int, int, int]]:
        """Return what :meth:`passed` needs to tell when all output that is there now has passed.

        What a command has written when it ends, that is; it may have descendants that go on.
        """
        found = []
        for stream in (STDOUT, STDERR):
            source, sink = self._sources.get((number, stream)), self._sinks.get((number, stream))
            if source is not None:
                found.append((number, stream, source.count + _there(source)))
            elif sink is not None:
                found.append((number, stream, sink.count + len(sink.waiting)))
        return found

    def passed(self, marks: list[tuple[int, int, int]]) -> bool:
        """Say whether it has passed, or can never."""
        for number, stream, count in marks:
            pipe = self._sources.get((number, stream)) or self._sinks.get((number, stream))
            if pipe is not None and pipe.count < count:
                return False
        return True

    def hang_up(self) -> None:
        """Say nothing more, and let the other end know by closing what carries it."""
        os.close(self._write_to)
        self._write_to = -1

    def close_pipes(self) -> None:
        """Close all pipes, at the end."""
        for sink in self._sinks.values():
            os.close(sink.descriptor)
        for source in self._sources.values():
            os.close(source.descriptor)
        self._sinks.clear()
        self._sources.clear()

    # --- the loop ---------------------------------------------------------------------------------

    def serve(self) -> None:
        """Serve until the link ends. Raises LinkError."""
        heard = asked = time.monotonic()
        while True:
            self.settle()
            if not self._flush():
                return
            if self.is_over() and not self._out:
                return
            before = time.monotonic()
            ready = dict(self._poller().poll(self._ping * 1000))
            now = time.monotonic()
            if now - before > 2 * self._ping:
                heard = now  # it is this process that was not there
            if self._read_from in ready:
                data = self._read()
                if data is not None:
                    if not data:
                        return
                    heard = now
                    self._take(data)
            if now - heard > self._silence:
                raise LinkError(f"no sign of life for {self._silence:g} s")
            if now - asked >= self._ping:
                asked = now
                self.send(PING, 0)
            self._serve_pipes(ready)
            for descriptor in self.watched():
                if descriptor in ready:
                    self.readable(descriptor)

    def _poller(self) -> select.poll:
        poller = select.poll()
        poller.register(self._read_from, select.POLLIN)
        if self._out:
            poller.register(self._write_to, select.POLLOUT)
        for descriptor in self.watched():
            poller.register(descriptor, select.POLLIN)
        if len(self._out) < _QUEUE:
            for key, source in self._sources.items():
                if source.credit and not self._waits(key, source.after, self._sources):
                    poller.register(source.descriptor, select.POLLIN)
        for key, sink in self._sinks.items():
            # Even with nothing to write: it is told at once when nobody reads any more.
            writes = sink.waiting and not self._waits(key, sink.after, self._sinks)
            poller.register(sink.descriptor, select.POLLOUT if writes else 0)
        return poller

    def _serve_pipes(self, ready: dict[int, int]) -> None:
        for key, sink in list(self._sinks.items()):
            events = ready.get(sink.descriptor, 0)
            if events & select.POLLERR:
                self._let_go(key)
            elif events:
                self._write(key, sink)
        for key, source in list(self._sources.items()):
            if source.descriptor in ready and source.credit:
                self._pump(key, source)

    @staticmethod
    def _waits(
        key: tuple[int, int], after: int, pipes: Mapping[tuple[int, int], _Source | _Sink]
    ) -> bool:
        """Say whether a command's standard output has to wait for its standard error."""
        error = pipes.get((key[0], STDERR)) if key[1] == STDOUT else None
        return error is not None and error.count < after

    def _pump(self, key: tuple[int, int], source: _Source) -> None:
        error = self._sources.get((key[0], STDERR))
        if key[1] == STDOUT and error is not None:
            if source.after < 0:
                source.after = error.count + _there(error)
            if error.count < source.after:
                return
            source.after = -1
        try:
            data = os.read(source.descriptor, min(_PIECE, source.credit))
        except BlockingIOError:
            return
        if not data:
            os.close(source.descriptor)
            del self._sources[key]
            self.send(END, *key)
            return
        source.credit -= len(data)
        source.count += len(data)
        self.send(DATA, *key, data)

    def _write(self, key: tuple[int, int], sink: _Sink) -> None:
        if self._waits(key, sink.after, self._sinks):
            return
        try:
            while sink.waiting:
                written = os.write(sink.descriptor, sink.waiting[:_PIECE])
                del sink.waiting[:written]
                sink.count += written
                sink.owed += written
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._let_go(key)
            return
        if sink.owed >= WINDOW // 4:
            self.send(CREDIT, *key, struct.pack(">I", sink.owed))
            sink.owed = 0
        if sink.ended and not sink.waiting:
            os.close(sink.descriptor)
            del self._sinks[key]

    def _let_go(self, key: tuple[int, int]) -> None:
        sink = self._sinks.pop(key)
        os.close(sink.descriptor)
        if not sink.ended:
            self.send(STOP, *key)

    def _flush(self) -> bool:
        """Write what the link takes; False when it takes nothing any more."""
        if self._write_to < 0:
            self._out.clear()
        try:
            while self._out:
                del self._out[: os.write(self._write_to, self._out[:_PIECE])]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    # --- frames -----------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        self._in += data
        at = 0
        while len(self._in) - at >= _HEADER.size:
            kind, number, stream, length = _HEADER.unpack_from(self._in, at)
            if length > _LONGEST:
                raise LinkError(f"a frame of {length} bytes; the other end speaks something else")
            start, end = at + _HEADER.size, at + _HEADER.size + length
            if len(self._in) < end:
                break
            self._understand(kind, (number, stream), bytes(self._in[start:end]))
            at = end
        del self._in[:at]

    def _understand(self, kind: int, key: tuple[int, int], payload: bytes) -> None:
        source, sink = self._sources.get(key), self._sinks.get(key)
        if kind == DATA and sink is not None:
            sink.waiting += payload
            error = self._sinks.get((key[0], STDERR))
            if error is not None:
                sink.after = error.count + len(error.waiting)
            self._write(key, sink)
        elif kind == END and sink is not None:
            sink.ended = True
            self._write(key, sink)
        elif kind == STOP and source is not None:
            os.close(source.descriptor)
            del self._sources[key]
        elif kind == CREDIT and source is not None:
            source.credit += struct.unpack(">I", payload)[0]
        elif kind == PING:
            self.send(PONG, 0)
        elif kind > PONG:
            self.other(kind, key[0], payload)
        # The rest is about a pipe that has been closed meanwhile, or only shows that there is life.


def _there(source: _Source) -> int:
    """Return how many bytes can be read from a pipe right now."""
    there: int = struct.unpack("i", fcntl.ioctl(source.descriptor, termios.FIONREAD, bytes(4)))[0]
    return there
