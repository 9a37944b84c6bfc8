"""Add a layer: from a blob to something visible, in one reading of the source.

    source -> Tee (staging/<op>/blob) -> decompression and hashing -> tar -> backend (tree)

then digests are compared, everything is synced at once, and under the store's lock it is renamed
to its place and recorded by one commit (``store`` says why in this order). Before that commit
nothing is visible, and whatever fails or is interrupted leaves nothing behind.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from layerfs import descriptor
from layerfs import digest as digests
from layerfs.earlysync import meanwhile
from layerfs.errors import PathError, ValidationError, from_os_error
from layerfs.opening import Parts
from layerfs.reading import Expected, Reading, Tee, read_layer
from layerfs.records import Layer
from layerfs.removal import disk_usage
from layerfs.staging import Operation

if TYPE_CHECKING:
    from layerfs.tarstream import TarReader

_MAX_ANNOTATIONS = 1 << 20  # characters


@dataclass(frozen=True, slots=True)
class Extra:
    """What is said of a layer besides its content."""

    dependencies: tuple[str, ...] = ()
    annotations: dict[str, str] | None = None
    progress: Callable[[int, int | None], None] | None = None

    def check(self) -> None:
        """Raise ValidationError when malformed."""
        for need in self.dependencies:
            digests.parse(need)
        items = (self.annotations or {}).items()
        if not all(isinstance(k, str) and k and isinstance(v, str) for k, v in items):
            raise ValidationError("annotations must map non-empty strings to strings")
        if sum(len(key) + len(value) for key, value in items) > _MAX_ANNOTATIONS:
            raise ValidationError(f"annotations are longer than {_MAX_ANNOTATIONS} characters")


def add(
    parts: Parts, source: str | os.PathLike[str] | BinaryIO, wanted: Expected, extra: Extra
) -> Layer:
    """Add the layer that ``source`` holds; see ``LayerFS.add_layer``."""
    parts.refuse_readonly()
    wanted.check()
    extra.check()
    with opened(source) as raw, parts.staging.operation() as operation:
        tee = Tee(raw, wanted, operation.blob, progress=extra.progress)
        if wanted.digest is not None and parts.meta.has_layer(wanted.digest):
            # Here already: compare with the blob that we have, and write only from the first
            # difference on (which means that ours is damaged, or the source is not what it says).
            tee.compare_with(parts.blobs.path(wanted.digest))
        with tee:
            return _added(parts, operation, tee, wanted, extra)


def add_staged(parts: Parts, operation: Operation, extra: Extra | None = None) -> Layer:
    """Add the tar that was written to ``operation.blob``, uncompressed."""
    wanted, extra = Expected(descriptor.LAYER), extra or Extra()
    with opened(operation.blob) as raw, Tee(raw, wanted, None, progress=extra.progress) as tee:
        return _added(parts, operation, tee, wanted, extra)


def add_extracted(
    parts: Parts,
    operation: Operation,
    found: Reading,
    *,
    media_type: str = descriptor.LAYER,
    tree_bytes: int | None = None,
) -> Layer:
    """Add what a helper put into ``operation.blob`` and ``operation.tree``, and verified.

    ``tree_bytes`` is what the tree takes on disk, where that has been measured.
    """
    made = Layer(found.digest, found.diff_id, found.size, media_type, (), {})
    ingest = Ingest(parts, operation)
    ingest.done, ingest.tree_bytes = True, tree_bytes
    layer = _published(parts, operation, made, ingest, has_blob=True)
    assert layer is not None, "nothing was left out because it was here before"
    return layer


@contextmanager
def opened(source: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """Open a layer's file for reading; a stream is passed on. PathError and its like."""
    if not isinstance(source, (str, os.PathLike)):
        yield source
        return
    path = os.fspath(source)
    try:
        # O_NONBLOCK: to open a fifo would wait for a writer; it is refused below.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise from_os_error(error, "opening layer", path) from error
    except ValueError as error:
        raise PathError(f"layer {path!r}: {error}", path=path) from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise PathError(f"layer {path!r} is no regular file", path=path)
        with open(fd, "rb", buffering=0, closefd=False) as raw:
            yield raw
    finally:
        os.close(fd)


def _added(parts: Parts, operation: Operation, tee: Tee, wanted: Expected, extra: Extra) -> Layer:
    ingest = Ingest(parts, operation)
    consume = None if _has_tree(parts, wanted) else ingest
    reading = read_layer(tee, wanted, consume, parts.limits)
    made = Layer(
        reading.digest,
        reading.diff_id,
        reading.size,
        wanted.media_type,
        tuple(dict.fromkeys(extra.dependencies)),
        extra.annotations or {},
    )
    while (layer := _published(parts, operation, made, ingest, has_blob=tee.is_staged)) is None:
        # What made this blob or tree needless was removed meanwhile: make it ourselves.
        tee.save()
        if not ingest.done:
            with opened(operation.blob) as raw:
                read_layer(raw, replace(wanted, digest=made.digest), ingest, parts.limits)
    return layer


def _has_tree(parts: Parts, wanted: Expected) -> bool:
    """Say whether the tree is here already, as far as the descriptor tells.

    Then the content is only hashed: equal digests have been extracted, and so been valid, before.
    """
    if wanted.digest is not None and parts.meta.has_layer(wanted.digest):
        return True
    return wanted.diff_id is not None and bool(parts.meta.layers_of(wanted.diff_id))


class Ingest:
    """Extracts a tar into the operation's directory."""

    def __init__(self, parts: Parts, operation: Operation) -> None:
        self._backend = parts.backend
        self._operation = operation
        self.done = False
        self.tree_bytes: int | None = None  #: what the tree takes on disk, when that was measured

    def __call__(self, reader: TarReader) -> None:
        """Extract; what was extracted by a failed call before is deleted first."""
        self.tree_bytes = self._backend.ingest(reader, self._operation.new_tree())
        self.done = True


def _published(
    parts: Parts, operation: Operation, made: Layer, ingest: Ingest, *, has_blob: bool
) -> Layer | None:
    """Make all visible, and return the layer; None: a part that was here before has gone."""
    blob_bytes = 0
    if has_blob:
        blob_bytes = parts.blobs.usage(operation.blob)
    if has_blob or ingest.done:
        operation.intend("add", digest=made.digest, diff_id=made.diff_id)
        with meanwhile(operation.sync):
            if ingest.done and ingest.tree_bytes is None:
                ingest.tree_bytes = disk_usage(operation.tree)
    with parts.lock():
        known = parts.meta.layer(made.digest)
        has_tree = bool(parts.meta.layers_of(made.diff_id))
        if not (has_blob or known) or not (ingest.done or has_tree):
            return None
        if has_blob:
            parts.blobs.publish(operation.blob, made.digest)
        if ingest.done:
            _publish_tree(parts, operation, made.diff_id, recorded=has_tree)
        if known is not None and not _says_more(made, known):
            return known
        with parts.meta.transaction():
            parts.meta.put_layer(made, blob_bytes=blob_bytes)
            if not has_tree:
                parts.meta.put_tree(made.diff_id, ingest.tree_bytes or 0)
        return parts.meta.layer(made.digest)


def _publish_tree(parts: Parts, operation: Operation, diff_id: str, *, recorded: bool) -> None:
    published = parts.backend.publish(operation.tree, diff_id)
    if not published and not recorded:
        # Of a lost database, perhaps damaged since: ours has just been verified.
        parts.backend.discard(diff_id, operation.trash)
        parts.backend.publish(operation.tree, diff_id)


def _says_more(made: Layer, known: Layer) -> bool:
    return bool(set(made.dependencies) - set(known.dependencies)) or not (
        dict(made.annotations).items() <= dict(known.annotations).items()
    )
