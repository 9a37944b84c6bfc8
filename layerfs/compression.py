"""Read a blob once: decompress it, hash it on both sides, and bound what comes out. And write one.

Reading, decompressing and hashing go on in a helper thread, a few MiB ahead of the consumer, which
meanwhile writes files; the C libraries at work release Python's lock. The thread ends when the blob
does, at an error, or when the reader is closed or forgotten: it never outlives `BlobReader.close`.

Writing is reproducible: the same bytes give the same blob with the same versions of the libraries.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Final, NamedTuple, Protocol, Self

from layerfs import decoders, handover
from layerfs import digest as digests
from layerfs.descriptor import Compression
from layerfs.errors import CompressionError, LimitExceededError, StorageError, from_os_error
from layerfs.limits import Limits
from layerfs.patience import Patience

#: Bytes read from the blob at once.
CHUNK: Final = 1 << 20
#: Pieces that may wait for the consumer.
DEPTH: Final = 4

_GZIP_LEVEL: Final = 6
_ZSTD_LEVEL: Final = 3


class Readable(Protocol):
    """A binary file, as far as it is needed."""

    def read(self, n: int, /) -> bytes | None:
        """Return 1 to ``n`` bytes; none only at the end."""


class Digests(NamedTuple):
    """What a whole blob turned out to be; ``size`` in bytes, compressed."""

    digest: str
    size: int
    diff_id: str


class _Side:
    """Counts and hashes one side of the compression."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        self.size = 0
        self.hashers = {name: digests.new_hasher(name) for name in algorithms}

    def update(self, data: bytes) -> None:
        self.size += len(data)
        for hasher in self.hashers.values():
            hasher.update(data)

    def digest(self, name: str) -> str:
        return f"{name}:{self.hashers[name].hexdigest()}"


def _sides(
    compression: Compression, algorithm: str, diff_algorithms: Iterable[str]
) -> tuple[_Side, _Side]:
    # Uncompressed, both sides are the same bytes: hash them once.
    names = dict.fromkeys(["sha256", *diff_algorithms])
    if compression == "none":
        both = _Side(dict.fromkeys([algorithm, *names]))
        return both, both
    return _Side([algorithm]), _Side(names)


class BlobReader:
    """The uncompressed bytes of a blob. A context manager; ``close`` ends the thread.

    ``raw`` is a descriptor or binary file, read from where it stands to its end and left open; the
    helper thread reads it, so nobody else may before `finish`, `blob` or `close` has returned.
    ``algorithm`` is that of the blob's digest; ``diff_algorithms`` are wanted of the uncompressed
    side besides sha256. LimitExceededError is raised by `read` when more comes out, in all or for
    what has been read of the blob, than ``limits`` allow.
    """

    def __init__(
        self,
        raw: int | Readable,
        compression: Compression,
        *,
        algorithm: str = "sha256",
        diff_algorithms: Iterable[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self._handover = handover.Handover(DEPTH)
        self._algorithm = algorithm
        self._blob, self._diff = _sides(compression, algorithm, diff_algorithms)
        self._patience = Patience(raw)
        self._pull = _puller(raw, self._blob, self._patience)
        self._rest = b""
        self._closed = False
        pieces = _bounded(
            decoders.decode(compression, self._pull), self._blob, self._diff, limits or Limits()
        )
        # The thread knows the handover, not the reader: a forgotten reader can be collected.
        self._thread = threading.Thread(
            target=_produce, args=(pieces, self._handover), name="layerfs-decompress", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as error:  # RLIMIT_NPROC, pids.max
            raise StorageError(f"no thread to read the blob with: {error}") from error

    def read(self, n: int = CHUNK, /) -> bytes:
        """Return 1 to ``n`` bytes, none only at the end of a whole blob.

        DecompressionError: damaged, truncated, or followed by garbage. LimitExceededError: see the
        class. UnsupportedError: zstd is not installed. StorageError and its like: ``raw`` cannot
        be read. The same error comes again at each call.
        """
        piece = self._rest or self._take()
        if piece is None:
            return b""
        self._rest = piece[n:]
        return piece[:n]

    def finish(self) -> Digests:
        """Read what is left, drop it, and return what the blob is. Raises what `read` raises."""
        self._rest = b""
        while self._take() is not None:
            pass
        self._thread.join()
        return Digests(self._blob.digest(self._algorithm), self._blob.size, self.diff_digest())

    def diff_digest(self, algorithm: str = "sha256") -> str:
        """Return a digest of the uncompressed side that was asked for; after `finish` only."""
        return self._diff.digest(algorithm)

    def blob(self) -> tuple[str, int]:
        """Return the digest and size of the whole blob, whatever is in it; ends the reading.

        For telling a wrong blob from a damaged one: works after any error but one of ``raw``.
        """
        self.close()
        while self._pull():
            pass
        return self._blob.digest(self._algorithm), self._blob.size

    def close(self) -> None:
        """End the thread, also while it waits for a pipe or socket; idempotent."""
        self._closed = True
        self._rest = b""
        self._handover.cancel()
        self._patience.call_off()
        self._thread.join()
        self._patience.resume()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Without waiting: a collector must not.
        self._handover.cancel()

    def _take(self) -> bytes | None:
        if self._closed:
            raise ValueError("read of a closed blob")
        return self._handover.take()


def reader(raw: int | Readable, compression: Compression, **options: Any) -> BlobReader:
    """Return a `BlobReader`, which see."""
    return BlobReader(raw, compression, **options)


def _puller(raw: int | Readable, side: _Side, patience: Patience) -> decoders.Pull:
    def pull() -> bytes:
        if not patience.wait():
            return b""  # to nobody: the reader was closed
        try:
            data = os.read(raw, CHUNK) if isinstance(raw, int) else raw.read(CHUNK)
        except OSError as error:
            raise from_os_error(error, "reading the blob") from error
        if data is None:
            raise StorageError("the blob's source is not blocking, and has nothing to read yet")
        side.update(data)
        return data

    return pull


def _bounded(
    pieces: Iterator[bytes],
    blob: _Side,
    diff: _Side,
    limits: Limits,
) -> Generator[bytes, None, None]:
    """Pass the pieces on, hashed, unless there are too many."""
    total, floor = 0, limits.ratio_floor_bytes
    most, max_ratio = limits.max_output_bytes, limits.max_ratio
    for piece in pieces:
        total += len(piece)
        if total > most:
            raise LimitExceededError(
                f"the layer has more than {most} bytes uncompressed",
                limit=f"max_output_bytes={most}",
            )
        if total > max(floor, max_ratio * blob.size):
            raise LimitExceededError(
                f"{blob.size} bytes of the blob expand to more than {total}",
                limit=f"max_ratio={max_ratio}",
            )
        if diff is not blob:
            diff.update(piece)
        yield piece


def _produce(pieces: Generator[bytes, None, None], out: handover.Handover) -> None:
    try:
        for piece in pieces:
            if not out.put(piece):
                break
        pieces.close()
    except BaseException as error:  # noqa: BLE001 - raised again where the bytes are read
        out.end(error)
    else:
        out.end()


# --- writing --------------------------------------------------------------------------------------


class _Encoder(Protocol):
    def compress(self, data: bytes | memoryview, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Gzip:
    """One gzip member without a name, time or system: RFC 1952 lets all three be unknown."""

    _HEADER: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"

    def __init__(self) -> None:
        import zlib  # noqa: PLC0415

        self._zlib = zlib
        # Raw deflate: zlib's own header would name the system.
        self._inner = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._check = 0
        self._size = 0
        self._header = self._HEADER

    def compress(self, data: bytes | memoryview, /) -> bytes:
        self._check = self._zlib.crc32(data, self._check)
        self._size += len(data)
        header, self._header = self._header, b""
        return header + self._inner.compress(data)

    def flush(self) -> bytes:
        trailer = struct.pack("<II", self._check, self._size & 0xFFFFFFFF)
        return self._header + self._inner.flush() + trailer


def _encoder(compression: Compression) -> tuple[_Encoder | None, type[Exception]]:
    if compression == "gzip":
        import zlib  # noqa: PLC0415

        return _Gzip(), zlib.error
    if compression == "zstd":
        zstandard = decoders.zstandard_module()
        inner = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
        return inner.compressobj(), zstandard.ZstdError
    return None, CompressionError


class Compressor:
    """A sink that compresses into ``sink_write``, which takes all that it is given.

    The same bytes in give the same bytes out, however they are cut into writes. Errors of
    ``sink_write`` pass through. After any error the output is incomplete and is to be thrown away.
    """

    def __init__(
        self,
        sink_write: Callable[[bytes], object],
        compression: Compression,
        *,
        algorithm: str = "sha256",
    ) -> None:
        self._sink_write = sink_write
        self._algorithm = algorithm
        self._blob, self._diff = _sides(compression, algorithm, ())
        self._encoder, self._error = _encoder(compression)

    def write(self, data: bytes) -> int:
        """Take all of ``data``; returns its length. CompressionError."""
        self._diff.update(data)
        if self._encoder is None:
            self._sink_write(data)
        else:
            self._put(self._encoder.compress, data)
        return len(data)

    def finish(self) -> Digests:
        """Write what is left, and return what the blob is. CompressionError. Call it once."""
        if self._encoder is not None:
            self._put(self._encoder.flush)
        return Digests(
            self._blob.digest(self._algorithm), self._blob.size, self._diff.digest("sha256")
        )

    def _put(self, step: Callable[..., bytes], *data: bytes) -> None:
        try:
            out = step(*data)
        except self._error as error:
            raise CompressionError(f"compressing a layer: {error}") from error
        if out:
            self._blob.update(out)
            self._sink_write(out)
