"""Turn a blob's bytes into those of its tar: none, gzip, zstd. No I/O, no thread, no hash.

A decoder is a generator: it calls ``pull`` for the next piece of the blob (empty at the end), and
yields pieces of at most `PIECE` bytes, so that a bomb never has more of the memory than that. It
ends when the blob is whole, and raises DecompressionError when that cannot be.

gzip is RFC 1952: several members are one stream (section 2.2), and nothing may follow the last,
not even zeros. zstd is RFC 8878: several frames are one stream, skippable ones count for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol, cast

from layerfs.descriptor import Compression
from layerfs.errors import DecompressionError, UnsupportedError
from layerfs.zstdframes import FrameWalker

#: Bytes of output at once.
PIECE: Final = 1 << 20
#: Of input at the start of a gzip member. A blob may have a member for every few bytes, and what is
#: left behind a member is copied: that must cost no more than the member.
_FIRST_WINDOW: Final = 1 << 12
#: Later on. What a call leaves over because its output is full is copied too: ordinary data of this
#: length fit into one piece.
_LAST_WINDOW: Final = 1 << 18
#: Of a gzip member's header (RFC 1952, section 2.3).
_FLAGS_AT: Final = 3
_RESERVED_FLAGS: Final = 0xE0

Pull = Callable[[], bytes]


class _Member(Protocol):
    """One gzip member's decompressor, as isal's IgzipDecompressor has it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def decode(compression: Compression, pull: Pull) -> Iterator[bytes]:
    """Return the pieces of the uncompressed stream."""
    return {"none": _plain, "gzip": _gzip, "zstd": _zstd}[compression](pull)


def _plain(pull: Pull) -> Iterator[bytes]:
    while piece := pull():
        yield piece


# --- gzip -----------------------------------------------------------------------------------------


class _ZlibMember:
    """zlib's decompressor in the same form, where isal is not to be had."""

    def __init__(self) -> None:
        import zlib  # noqa: PLC0415

        self._inner = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = not self._inner.unconsumed_tail and len(out) < max_length
        return out


def gzip_member() -> tuple[Callable[[], _Member], type[Exception]]:
    """Return what makes a member's decompressor, and the exception that it raises."""
    try:
        from isal import igzip_lib  # noqa: PLC0415 - only gzip layers need it
    except ImportError:
        import zlib  # noqa: PLC0415

        return _ZlibMember, zlib.error
    error = cast("type[Exception]", igzip_lib.error)  # isal's stub calls it an instance
    return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP), error


def _gzip(pull: Pull) -> Iterator[bytes]:
    new_member, error = gzip_member()
    member: _Member | None = None
    members = consumed = 0
    window = _FIRST_WINDOW
    header = b""
    while data := pull():
        at = 0
        while at < len(data):
            if member is None:
                if data[at] != 0x1F:
                    raise _no_gzip(members, consumed + at)
                member, window = new_member(), _FIRST_WINDOW
                members += 1
                header = b""
            fed = data[at : at + window]
            if len(header) <= _FLAGS_AT:
                header += fed[: _FLAGS_AT + 1 - len(header)]
                _check_flags(header, members)
            try:
                yield from _all_output(member, fed)
            except error as fault:
                where = f"gzip member {members}, before offset {consumed + at + len(fed)}"
                raise DecompressionError(f"damaged blob: {where}: {fault}") from None
            at += len(fed)
            if member.eof:
                at -= len(member.unused_data)
                member = None
            else:
                window = min(2 * window, _LAST_WINDOW)
        consumed += len(data)
    if not members:
        raise DecompressionError("the blob is empty, not a gzip stream")
    if member is not None:
        raise DecompressionError(f"the gzip stream is cut short at offset {consumed}")


def _all_output(member: _Member, data: bytes) -> Iterator[bytes]:
    while True:
        if out := member.decompress(data, PIECE):
            yield out
        if member.eof or member.needs_input:
            return
        data = b""


def _check_flags(header: bytes, members: int) -> None:
    """Refuse reserved flags, as RFC 1952, 2.3.1.2, demands: isal reads past them, zlib does not."""
    if len(header) > _FLAGS_AT and header[_FLAGS_AT] & _RESERVED_FLAGS:
        raise DecompressionError(f"damaged blob: gzip member {members}: reserved flags are set")


def _no_gzip(members: int, offset: int) -> DecompressionError:
    if members:
        return DecompressionError(f"garbage after the end of the gzip stream, at offset {offset}")
    return DecompressionError("the blob is not a gzip stream")


# --- zstd -----------------------------------------------------------------------------------------


class _Frames:
    """The blob as zstandard wants to read it, one frame at a time, each followed."""

    def __init__(self, pull: Pull) -> None:
        self._pull = pull
        self._data = b""
        self._at = 0  # what has been read of it: to cut it off would copy the rest for each frame
        self._ended = True
        self.walker = FrameWalker()

    def begin(self) -> bool:
        """Go on to the next frame; False when there is none."""
        self._ended = not self._has_more()
        return not self._ended

    def read(self, _n: int) -> bytes:
        """Return bytes of the frame, none at its end, or that of the blob.

        They may be more than zstandard asks for, which bears it, but no more than were pulled. The
        header comes alone: libzstd decodes a frame that it has in one piece in another way, which
        accepts and refuses other frames.
        """
        if self._ended or not self._has_more():
            return b""
        at = self._at
        self._at = self.walker.feed(self._data, at)
        self._ended = self.walker.whole
        return self._data[at : self._at]

    def _has_more(self) -> bool:
        if self._at == len(self._data):
            self._data, self._at = self._pull(), 0
        return bool(self._data)


def zstandard_module() -> Any:
    """Import the zstandard package; UnsupportedError when it is not installed."""
    try:
        import zstandard  # noqa: PLC0415 - only zstd layers need it
    except ImportError:
        raise UnsupportedError(
            "zstd layers need the Python package zstandard, which is not installed"
        ) from None
    return zstandard


def _zstd(pull: Pull) -> Iterator[bytes]:
    zstandard = zstandard_module()
    frames = _Frames(pull)
    walker = frames.walker
    # libzstd itself refuses frames that ask for more than 128 MiB of window.
    decompressor = zstandard.ZstdDecompressor()
    while frames.begin():
        held = 0
        reader = decompressor.stream_reader(frames, read_size=PIECE, closefd=False)
        try:
            while piece := reader.read(PIECE):
                held += len(piece)
                yield piece
        except zstandard.ZstdError as fault:
            where = f"before offset {walker.offset}"
            raise DecompressionError(f"damaged blob: zstd, {where}: {fault}") from None
        if walker.whole and walker.content not in {None, held}:
            raise DecompressionError(
                f"damaged blob: zstd, before offset {walker.offset}: a frame says that it holds "
                f"{walker.content} bytes, and holds {held}"
            )
    if not walker.frames:
        raise DecompressionError("the blob is empty, not a zstd stream")
    if not walker.whole:
        raise DecompressionError(f"the zstd stream is cut short at offset {walker.offset}")
