"""The bytes under a tar reader: a buffered source, and the data of the current member. No I/O.

Headers are cut out of a large buffer, and a small file's data are one slice of it; the data of
large ones pass through as views of the source's own pieces, without a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from layerfs.errors import ValidationError

#: Bytes asked of the source at once.
CHUNK: Final = 1 << 20


class Source(Protocol):
    """Where the uncompressed bytes come from."""

    def read(self, n: int, /) -> bytes:
        """Return 1 to ``n`` bytes; none only at the end."""
        ...


class BlockStream:
    """Counts every byte, and knows how many belong to the current member."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = b""
        self._view = memoryview(b"")  # of the buffer
        self._at = 0
        self._base = 0  # the archive offset of the buffer's first byte
        self._left = 0  # bytes of the member's data that have not been read
        self._gap = 0  # bytes from the end of the data to the next header
        self._name = b""  # of the current member, for errors

    @property
    def offset(self) -> int:
        """Bytes of the uncompressed archive that have been consumed."""
        return self._base + self._at

    @property
    def remaining(self) -> int:
        """Bytes of the current member's stored data that have not been read."""
        return self._left

    def read(self, n: int = -1) -> bytes:
        """Return the next ``n`` stored bytes of the current member, or all that are left of them.

        ValidationError when the archive ends before.
        """
        want = self._left if n < 0 or n > self._left else n
        at = self._at
        if at + want <= len(self._buffer):
            self._at = at + want
            self._left -= want
            return self._buffer[at : at + want]
        return b"".join(self.chunks(want))

    def read_into(self, memory: memoryview, at: int, n: int) -> None:
        """Put what ``read(n)`` would return into ``memory`` from ``at`` on; there must be as much.

        ValidationError when the archive ends before.
        """
        start = self._at
        end = start + n
        if end <= len(self._buffer):
            memory[at : at + n] = self._view[start:end]
            self._at = end
            self._left -= n
            return
        for piece in self.chunks(n):
            memory[at : at + len(piece)] = piece
            at += len(piece)

    def chunks(self, n: int = -1) -> Iterator[memoryview]:
        """Yield what `read` would return, in pieces and without a copy."""
        want = self._left if n < 0 or n > self._left else n
        while want:
            have = len(self._buffer) - self._at or self._ensure(1)
            if not have:
                raise self._cut_short()
            take = min(have, want)
            view = self._view[self._at : self._at + take]
            self._at += take
            self._left -= take
            want -= take
            yield view

    def copy(self, write: Callable[[memoryview], object], n: int = -1) -> int:
        """Hand what `read` would return to ``write``, which must take all of each piece.

        Returns the number of bytes.
        """
        total = 0
        for view in self.chunks(n):
            write(view)
            total += len(view)
        return total

    def _ensure(self, n: int) -> int:
        """Have ``n`` bytes in the buffer, if the source does; return how many are there."""
        have = len(self._buffer) - self._at
        if have >= n:
            return have
        parts = [self._buffer[self._at :]]
        while have < n:
            piece = self._source.read(CHUNK)
            if not piece:
                break
            parts.append(piece)
            have += len(piece)
        self._base += self._at
        self._at = 0
        self._buffer = b"".join(parts)
        self._view = memoryview(self._buffer)
        return have

    def _take(self, n: int) -> bytes:
        if self._ensure(n) < n:
            raise self._cut_short()
        at = self._at
        self._at = at + n
        return self._buffer[at : at + n]

    def _skip(self, n: int) -> None:
        while n > (have := len(self._buffer) - self._at):
            n -= have
            self._at += have
            if not self._ensure(1):
                raise self._cut_short()
        self._at += n

    def _cut_short(self) -> ValidationError:
        end = self._base + len(self._buffer)
        inside = f", within {self._name[:255]!r}" if self._name else ""
        return ValidationError(f"the tar archive is cut short: it ends at offset {end}{inside}")
