"""Where zstd frames begin and end, without decompressing them. No I/O.

libzstd's streaming readers take a stream that stops in the middle of a frame for one that has
ended, and overlook a frame that holds less than it says when its last block is empty. The frame
format (RFC 8878, section 3.1) says exactly where frames end and, mostly, how much they hold, so it
is followed beside the decompression: block headers are read, their contents skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from layerfs.errors import DecompressionError

MAGIC: Final = 0xFD2FB528
#: 0x184D2A50 to 0x184D2A5F.
_SKIPPABLE: Final = 0x184D2A5

_SINGLE_SEGMENT: Final = 0x20
_RESERVED: Final = 0x08
_CHECKSUM: Final = 0x04
_DICTIONARY_BYTES: Final = (0, 1, 2, 4)
_SIZE_BYTES: Final = (0, 2, 4, 8)
_TWO_BYTES_MORE: Final = 256
_RLE: Final = 1
_RESERVED_BLOCK: Final = 3


class FrameWalker:
    """Follows a compressed stream; ``whole`` says whether it may end here."""

    def __init__(self) -> None:
        self.offset = 0  #: bytes fed
        self.frames = 0  #: that have begun
        self._held = b""  # the beginning of the next header
        self._skip = 0  # bytes of content to pass over before it
        self.content: int | None = None  #: bytes that the last frame holds, if it says so
        self._has_checksum = False
        self._size_bytes = 0
        self._pausing = False
        self._expect(4, self._magic)

    @property
    def whole(self) -> bool:
        """Whether every frame that began has ended."""
        return self._next == self._magic and not self._held and not self._skip

    def feed(self, data: bytes, at: int = 0) -> int:
        """Go on by ``data`` from ``at`` on; return how far that was.

        It is to the end of a frame, or of a frame's header, at most. DecompressionError where no
        frame or block can begin so.
        """
        end = len(data)
        while at < end:
            if self._skip:
                step = min(self._skip, end - at)
                self._skip -= step
            else:
                step = min(self._need - len(self._held), end - at)
                self._held += data[at : at + step]
                if len(self._held) == self._need:
                    held, self._held = self._held, b""
                    self.offset += step
                    self._next(held)
                    self.offset -= step
            at += step
            self.offset += step
            if self.whole or self._pausing:
                self._pausing = False
                break
        return at

    def _expect(self, need: int, then: Callable[[bytes], None]) -> None:
        self._need = need
        self._next = then

    def _magic(self, header: bytes) -> None:
        magic = int.from_bytes(header, "little")
        if magic == MAGIC:
            self._expect(1, self._descriptor)
        elif magic >> 4 == _SKIPPABLE:
            self._expect(4, self._skippable)
        elif self.frames:
            raise self._bad("garbage after the end of the zstd stream")
        else:
            raise self._bad("not a zstd stream")
        self.frames += 1

    def _skippable(self, header: bytes) -> None:
        self.content = 0
        self._skip = int.from_bytes(header, "little")
        self._expect(4, self._magic)

    def _descriptor(self, header: bytes) -> None:
        flags = header[0]
        if flags & _RESERVED:
            raise self._bad("a zstd frame with a reserved flag")
        single = bool(flags & _SINGLE_SEGMENT)
        size_bytes = _SIZE_BYTES[flags >> 6] or int(single)
        self._has_checksum = bool(flags & _CHECKSUM)
        self._size_bytes = size_bytes
        before = (not single) + _DICTIONARY_BYTES[flags & 3]
        self._expect(before + size_bytes, self._sizes)
        if not self._need:
            self._sizes(b"")

    def _sizes(self, header: bytes) -> None:
        size = header[len(header) - self._size_bytes :]
        # Two bytes say 256 less than they mean.
        more = _TWO_BYTES_MORE if self._size_bytes == 2 else 0
        self.content = int.from_bytes(size, "little") + more if size else None
        self._pausing = True
        self._expect(3, self._block)

    def _block(self, header: bytes) -> None:
        bits = int.from_bytes(header, "little")
        kind = bits >> 1 & 3
        if kind == _RESERVED_BLOCK:
            raise self._bad("a zstd block of the reserved type")
        self._skip = 1 if kind == _RLE else bits >> 3
        if not bits & 1:
            return
        if self._has_checksum:
            self._skip += 4
        self._expect(4, self._magic)

    def _bad(self, what: str) -> DecompressionError:
        return DecompressionError(f"{what}, before offset {self.offset} of the blob")
