"""Images: read from an OCI image layout, verified as they are read. The only importer of manifest.

Nothing of a foreign layout is trusted: every blob is compared with its descriptor's digest and
size, every document is parsed strictly, and paths are made of well-formed digests only. Manifest
and configuration are stored byte by byte, since digests name bytes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from layerfs import descriptor
from layerfs import digest as digests
from layerfs.blobstore import REFERENCE_NAME
from layerfs.errors import (
    DigestMismatchError,
    LayerFSError,
    LayerInUseError,
    PathError,
    ValidationError,
    from_os_error,
)
from layerfs.manifest import MAX_BYTES, Config, Descriptor, Index, Layout, Manifest, parse
from layerfs.opening import Parts
from layerfs.parallel import Wanted, add_all
from layerfs.reading import Expected
from layerfs.records import Image
from layerfs.removing import as_image, remove, write_index
from layerfs.roots import ImageRow
from layerfs.staging import Operation

__all__ = [
    "MAX_BYTES",
    "Descriptor",
    "Documents",
    "Manifest",
    "Source",
    "attempt",
    "import_layout",
    "parse",
    "store",
]

_T = TypeVar("_T")
_P = ParamSpec("_P")
Progress = Callable[[int, int | None], None]

_INDEXES: Final = (descriptor.INDEX, descriptor.DOCKER_MANIFEST_LIST)
_MANIFESTS: Final = (descriptor.MANIFEST, descriptor.DOCKER_MANIFEST)
_CONFIGS: Final = (descriptor.CONFIG, descriptor.DOCKER_CONFIG)
#: An index may name an index, which may … (image-index.md): real ones stop at two.
_MAX_NESTING: Final = 4


@dataclass(frozen=True, slots=True)
class Documents:
    """An image's manifest and configuration: as parsed, and as the bytes that digests name."""

    descriptor: Descriptor
    manifest: Manifest
    manifest_bytes: bytes
    config: Config
    config_bytes: bytes

    @property
    def digests(self) -> tuple[str, ...]:
        """The layers' digests, base first."""
        return tuple(layer.digest for layer in self.manifest.layers)

    def row(self, references: tuple[str, ...]) -> ImageRow:
        """Return what the database keeps of the image."""
        return ImageRow(
            self.descriptor.digest,
            self.descriptor.media_type,
            len(self.manifest_bytes),
            self.manifest.config.digest,
            self.digests,
            references,
        )


class Source:
    """A directory with the form of an OCI image layout."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Raise PathError, or ValidationError, when it is no image layout."""
        if not self.path.is_dir():
            raise PathError(f"image layout {str(self.path)!r} is not a directory", path=self.path)
        if not (self.path / "oci-layout").exists():
            raise ValidationError(
                f"{str(self.path)!r} is not an OCI image layout: it has no oci-layout file",
                path=self.path,
            )
        parse(Layout, self.read("oci-layout"), "oci-layout")

    def index(self) -> Index:
        """Return the layout's own index."""
        return parse(Index, self.read("index.json"), "index.json")

    def read(self, name: str) -> bytes:
        """Return a small file's content; PathError, ValidationError when it is too long."""
        path = self.path / name
        try:
            # O_NONBLOCK: a fifo in its place must not be waited for.
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise PathError(f"{str(path)!r} is no regular file", path=path)
                data = b""
                while len(data) <= MAX_BYTES and (more := os.read(fd, MAX_BYTES + 1 - len(data))):
                    data += more
            finally:
                os.close(fd)
        except OSError as error:
            raise from_os_error(error, "reading", str(path)) from error
        if len(data) > MAX_BYTES:
            raise ValidationError(
                f"{str(path)!r} is longer than {MAX_BYTES} bytes, which no document of an image is",
                path=path,
            )
        return data

    def blob(self, digest: str) -> Path:
        """Return where a blob lies."""
        return self.path / "blobs" / digests.algorithm(digest) / digests.hexpart(digest)

    def document(self, what: Descriptor) -> bytes:
        """Return a blob that is a document; DigestMismatchError when it is another."""
        data = self.read(os.fspath(self.blob(what.digest).relative_to(self.path)))
        found = digests.of(data, digests.algorithm(what.digest))
        if len(data) != what.size or found != what.digest:
            raise DigestMismatchError(
                f"the blob of {what.digest} has {len(data)} bytes and digest {found}, its "
                f"descriptor says {what.size} bytes",
                digest=what.digest,
            )
        return data

    def documents(self, what: Descriptor) -> Documents:
        """Return an image's documents. ValidationError when it is not the image of a container."""
        manifest_bytes = self.document(what)
        manifest = parse(Manifest, manifest_bytes, f"manifest {what.digest}")
        if manifest.media_type not in {None, what.media_type}:
            raise ValidationError(
                f"manifest {what.digest} calls itself {manifest.media_type}, its descriptor "
                f"{what.media_type}",
                digest=what.digest,
            )
        if manifest.config.media_type not in _CONFIGS:
            raise ValidationError(
                f"manifest {what.digest} is of no container image: its configuration is "
                f"{manifest.config.media_type}",
                digest=what.digest,
            )
        config_bytes = self.document(manifest.config)
        config = parse(Config, config_bytes, f"configuration {manifest.config.digest}")
        if len(config.rootfs.diff_ids) != len(manifest.layers):
            raise ValidationError(
                f"manifest {what.digest} has {len(manifest.layers)} layers, its configuration "
                f"{len(config.rootfs.diff_ids)} diff_ids",
                digest=what.digest,
            )
        for layer in manifest.layers:
            descriptor.compression_of(layer.media_type)
        return Documents(what, manifest, manifest_bytes, config, config_bytes)


# --- choosing -----------------------------------------------------------------------------------


def choose(source: Source, reference: str | None) -> Descriptor:
    """Return the descriptor of the manifest that ``reference`` names, or of the only one.

    Of several platforms' manifests, this host's is taken. ValidationError: none, or several.
    """
    names: dict[str, Descriptor] = {}
    found: dict[str, Descriptor] = {}
    for one in source.index().manifests:
        name = (one.annotations or {}).get(REFERENCE_NAME, "")
        names[name or one.digest] = one
        if reference is None or reference in {name, one.digest}:
            found.setdefault(one.digest, one)
    where = f"image layout {str(source.path)!r}"
    if not found:
        asked = "" if reference is None else f" {reference!r}"
        raise ValidationError(f"{where} has no image{asked}; it has: {_list(names)}")
    leaves = {leaf.digest: leaf for one in found.values() for leaf in _leaves(source, one, 0)}
    fitting = leaves
    if len(leaves) > 1:
        fitting = {digest: leaf for digest, leaf in leaves.items() if _fits(leaf)}
    if len(fitting) != 1:
        which = "several images" if fitting else "no image for this machine"
        raise ValidationError(f"{where} has {which}; name one of: {_list(names)}")
    return next(iter(fitting.values()))


def _list(names: dict[str, Descriptor]) -> str:
    return ", ".join(sorted(names)[:20]) or "none"


def _leaves(source: Source, one: Descriptor, depth: int) -> Iterator[Descriptor]:
    if one.media_type in _MANIFESTS:
        yield one
    elif one.media_type in _INDEXES:
        if depth == _MAX_NESTING:
            raise ValidationError(f"indexes are nested deeper than {_MAX_NESTING} levels")
        nested = parse(Index, source.document(one), f"index {one.digest}")
        for below in nested.manifests:
            yield from _leaves(source, below, depth + 1)


def _fits(one: Descriptor) -> bool:
    from layerfs.export import architecture  # noqa: PLC0415 - where there is a choice, only

    ours = ("linux", architecture())
    return one.platform is not None and (one.platform.os, one.platform.architecture) == ours


def _names(source: Source, chosen: Descriptor, reference: str | None) -> tuple[str, ...]:
    """Return the names under which the chosen image is to be known."""
    if reference is not None and ":" in reference:
        try:
            digests.parse(reference)
        except ValidationError:
            return (reference,)
    elif reference is not None:
        return (reference,)
    names = [
        (one.annotations or {}).get(REFERENCE_NAME)
        for one in source.index().manifests
        if one.digest == chosen.digest
    ]
    return tuple(name for name in names if name)


# --- importing ----------------------------------------------------------------------------------


def import_layout(
    parts: Parts, path: Path, reference: str | None, progress: Progress | None = None
) -> Image:
    """Import an image; see ``LayerFS.import_image``. On failure no new layer remains."""
    parts.refuse_readonly()
    source = Source(path)
    source.check()
    chosen = choose(source, reference)
    documents = source.documents(chosen)
    names = _names(source, chosen, reference)
    new: list[str] = []
    try:
        return store(parts, source, documents, names, new=new, progress=progress)
    except BaseException:
        for digest in reversed(new):
            _remove_again(parts, digest)
        raise


def _remove_again(parts: Parts, digest: str) -> None:
    try:
        remove(parts, digest)
    except LayerInUseError:
        return  # somebody else uses it by now


def store(
    parts: Parts,
    source: Source,
    documents: Documents,
    names: tuple[str, ...],
    *,
    new: list[str],
    progress: Progress | None = None,
) -> Image:
    """Add an image's layers, then its documents and record; ``new`` tells which layers are new.

    Until it is recorded, a lease of the operation keeps the layers: it is made before the first
    of them, so that no garbage collection can come in between.
    """
    with parts.staging.operation() as operation:
        lease = f"operation {operation.id}"
        with parts.lock(), parts.meta.transaction():
            parts.meta.roots.put_lease(lease, documents.digests, operation=operation.id)
        try:
            layers = documents.manifest.layers
            new += [one.digest for one in layers if not parts.meta.has_layer(one.digest)]
            wanted = [
                Wanted(source.blob(one.digest), Expected(one.media_type, one.digest, one.size, id_))
                for one, id_ in zip(layers, documents.config.rootfs.diff_ids, strict=True)
            ]
            add_all(parts, wanted, progress)
            return _record(parts, operation, documents, names, lease)
        except BaseException:
            with parts.lock(), parts.meta.transaction():
                parts.meta.roots.delete_lease(lease)
            raise


def _record(
    parts: Parts, operation: Operation, documents: Documents, names: tuple[str, ...], lease: str
) -> Image:
    row = documents.row(names)
    staged = operation.path / "manifest", operation.path / "config"
    try:
        staged[0].write_bytes(documents.manifest_bytes)
        staged[1].write_bytes(documents.config_bytes)
    except OSError as error:
        raise from_os_error(error, "writing", str(operation.path)) from error
    operation.intend("image", manifest=row.manifest, config=row.config)
    operation.sync()
    with parts.lock():
        parts.blobs.publish(staged[0], row.manifest)
        parts.blobs.publish(staged[1], row.config)
        with parts.meta.transaction():
            parts.meta.roots.put_image(row)
            parts.meta.roots.delete_lease(lease)
        write_index(parts)
    return as_image(parts, row, names[0] if names else None)


def attempt(read: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
    """Return what ``read`` returns, or None where the layout is not what it claims to be."""
    try:
        return read(*args, **kwargs)
    except LayerFSError:
        return None
