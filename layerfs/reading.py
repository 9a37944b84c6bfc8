"""Read a layer's blob once, and hold it against what was said of it.

The tar engine, compression, and their C libraries are loaded by the first layer that is read: a
process that reads none does not wait for them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final, NamedTuple, Protocol, Self

from layerfs import descriptor
from layerfs import digest as digests
from layerfs.errors import (
    DecompressionError,
    DigestMismatchError,
    InvalidLayerPathError,
    LayerFSError,
    LimitExceededError,
    StorageError,
    ValidationError,
    from_os_error,
)

if TYPE_CHECKING:
    from layerfs.limits import Limits
    from layerfs.tarstream import TarReader

_CHUNK: Final = 1 << 20
#: Bytes of a blob that hold many files, or long ones.
_LARGE: Final = 4 << 20

#: What says that the content is bad, as opposed to the disk or the host.
CONTENT_ERRORS: Final = (
    ValidationError,
    DecompressionError,
    InvalidLayerPathError,
    LimitExceededError,
)


class Readable(Protocol):
    """Where a blob's bytes come from."""

    def read(self, n: int, /) -> bytes | None:
        """Return 1 to ``n`` bytes; none only at the end."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is said of a blob; None where nothing is said."""

    media_type: str
    digest: str | None = None
    size: int | None = None
    diff_id: str | None = None

    def check(self) -> None:
        """Raise ValidationError when it is malformed."""
        descriptor.compression_of(self.media_type)
        for one in (self.digest, self.diff_id):
            if one is not None:
                digests.parse(one)
        if self.size is None:
            return
        if not isinstance(self.size, int) or isinstance(self.size, bool) or self.size < 0:
            raise ValidationError(f"size must be a number of bytes, not {self.size!r}")

    def refuse_longer(self, size: int) -> None:
        """Raise DigestMismatchError when ``size`` bytes are too many already."""
        if self.size is not None and size > self.size:
            raise DigestMismatchError(
                f"the blob is longer than its descriptor says: more than {self.size} bytes",
                digest=self.digest,
            )

    def compare(self, digest: str, size: int) -> None:
        """Raise DigestMismatchError when the blob is another than was said."""
        self.refuse_longer(size)
        if self.size is not None and size != self.size:
            raise DigestMismatchError(
                f"the blob has {size} bytes, its descriptor says {self.size}", digest=self.digest
            )
        if self.digest is not None and digest != self.digest:
            raise DigestMismatchError(
                f"the blob's digest is {digest}, its descriptor says {self.digest}",
                digest=self.digest,
            )


class Reading(NamedTuple):
    """What a blob turned out to be."""

    digest: str
    size: int
    diff_id: str


def read_layer(
    raw: Readable,
    expected: Expected,
    consume: Callable[[TarReader], object] | None,
    limits: Limits | None = None,
) -> Reading:
    """Read ``raw`` to its end, let ``consume`` have the tar, and compare with ``expected``.

    Without ``consume`` the content is hashed only. DigestMismatchError takes precedence over
    errors in content that is not what was meant anyway: to find out, the rest is read. Otherwise
    raises what ``consume`` and the readers raise.
    """
    from layerfs.compression import BlobReader  # noqa: PLC0415 - see the module's docstring
    from layerfs.tarstream import TarReader  # noqa: PLC0415

    algorithm = "sha256" if expected.digest is None else digests.algorithm(expected.digest)
    others = [digests.algorithm(expected.diff_id)] if expected.diff_id is not None else []
    compression = descriptor.compression_of(expected.media_type)
    with BlobReader(
        raw, compression, algorithm=algorithm, diff_algorithms=others, limits=limits
    ) as stream:
        try:
            if consume is not None:
                archive = TarReader(stream, limits)
                archive.is_large = (expected.size or 0) >= _LARGE
                consume(archive)
            found = stream.finish()
        except CONTENT_ERRORS as error:
            if expected.digest is not None or expected.size is not None:
                _blame_digest(expected, stream.blob(), error)
            raise
        expected.compare(found.digest, found.size)
        if expected.diff_id is not None:
            diff_id = stream.diff_digest(others[0])
            if diff_id != expected.diff_id:
                raise DigestMismatchError(
                    f"the layer's diffID is {diff_id}, not {expected.diff_id}",
                    digest=expected.digest or found.digest,
                )
    return Reading(found.digest, found.size, found.diff_id)


def _blame_digest(expected: Expected, found: tuple[str, int], error: LayerFSError) -> None:
    try:
        expected.compare(*found)
    except DigestMismatchError as mismatch:
        raise mismatch from error


class Tee:
    """A source that is written to ``staged`` as it is read. A context manager.

    With ``compare_with``, it is compared with a file instead, and written from the first
    difference on (together with what was equal before it). With ``staged`` None, ``raw`` is the
    staged file itself, and nothing is written. ``read`` raises DigestMismatchError beyond the
    expected size, and WriteFailedError.
    """

    def __init__(
        self,
        raw: Readable,
        expected: Expected,
        staged: Path | None,
        *,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> None:
        self._raw = raw
        self._expected = expected
        self._staged = staged
        self._progress = progress
        self._stored: IO[bytes] | None = None
        self._file: IO[bytes] | None = None
        self._at = 0

    def compare_with(self, stored: Path) -> None:
        """Compare with this file; without effect when it is missing. Call before ``read``."""
        try:
            self._stored = stored.open("rb", buffering=0)
        except FileNotFoundError:
            self._stored = None
        except OSError as error:
            raise from_os_error(error, "opening blob", str(stored)) from error

    def fileno(self) -> int:
        """Return the descriptor of ``raw``. Raises as its own ``fileno``, or AttributeError."""
        number: int = self._raw.fileno()  # type: ignore[attr-defined]  # of files, see Patience
        return number

    @property
    def is_staged(self) -> bool:
        """Whether a staged file holds all that was read."""
        return self._staged is None or self._file is not None

    def read(self, n: int, /) -> bytes:
        """Return 1 to ``n`` bytes; none only at the end."""
        try:
            data = self._raw.read(n)
        except OSError as error:
            raise from_os_error(error, "reading layer") from error
        if data is None:
            raise StorageError(
                "reading layer: the stream has nothing to read yet; use a blocking one"
            )
        self._expected.refuse_longer(self._at + len(data))
        try:
            self._keep(data)
        except OSError as error:
            raise from_os_error(error, "storing blob", str(self._staged)) from error
        self._at += len(data)
        if self._progress is not None:
            self._progress(self._at, self._expected.size)
        return data

    def _keep(self, data: bytes) -> None:
        if self._staged is None:
            return
        if self._file is None and self._stored is not None:
            # At the end (no data) the stored file must be at its end as well.
            if os.pread(self._stored.fileno(), len(data) or 1, self._at) == data:
                return
            self._begin(self._at)
        elif self._file is None:
            self._begin(0)
        if data and self._file is not None:
            self._file.write(data)
        elif self._file is not None:
            self._file.flush()

    def _begin(self, equal: int) -> None:
        """Start writing, with the first ``equal`` bytes of the stored file."""
        assert self._staged is not None, "without a staged file nothing is kept"
        self._file = self._staged.open("wb")
        at = 0
        while self._stored is not None and at < equal:
            data = os.pread(self._stored.fileno(), min(_CHUNK, equal - at), at)
            if not data:
                raise StorageError(
                    f"blob {self._stored.name!r} became shorter while it was read",
                    path=self._stored.name,
                )
            self._file.write(data)
            at += len(data)
        self._file.flush()

    def save(self) -> None:
        """Have all that was read in the staged file, also if it was equal to the stored one."""
        if self._file is not None or self._staged is None:
            return
        try:
            self._begin(self._at)
        except OSError as error:
            raise from_os_error(error, "storing blob", str(self._staged)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What was buffered when a write failed fails again here; a whole blob has been flushed by
        # ``read``.
        for file in (self._stored, self._file):
            with contextlib.suppress(OSError):
                if file is not None:
                    file.close()
