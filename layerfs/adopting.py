"""Adopt blobs that no record names: the database is older than they are, or was lost.

A blob's digest proves its content, an image's manifest proves the kind of its layers. What no
manifest names is looked into: the first bytes of a layer tell its compression.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from layerfs import adding, descriptor
from layerfs.blobstore import REFERENCE_NAME
from layerfs.errors import DigestMismatchError
from layerfs.image import MAX_BYTES, Descriptor, Documents, Manifest, Source, attempt, parse, store
from layerfs.opening import Parts
from layerfs.reading import CONTENT_ERRORS, Expected
from layerfs.removing import discard_unused

_MAGIC: Final[tuple[tuple[bytes, descriptor.Compression], ...]] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)


def images(parts: Parts, orphans: Sequence[str]) -> list[tuple[Documents, tuple[str, ...]]]:
    """Return the images whose manifest is among ``orphans``, with the names index.json has."""
    source = Source(parts.root)
    names: dict[str, list[str]] = {}
    index = attempt(source.index)
    for one in index.manifests if index is not None else ():
        found = names.setdefault(one.digest, [])
        found += [name] if (name := (one.annotations or {}).get(REFERENCE_NAME)) else []
    images = []
    for digest in orphans:
        documents = attempt(_documents, parts, source, digest)
        if documents is not None:
            images.append((documents, tuple(names.get(digest, ()))))
    return images


def _documents(parts: Parts, source: Source, digest: str) -> Documents | None:
    with parts.blobs.open(digest) as raw:
        data = raw.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES or data.lstrip()[:1] != b"{":
        return None
    manifest = parse(Manifest, data, f"blob {digest}")
    media_type = manifest.media_type or descriptor.MANIFEST
    found = Descriptor(media_type=media_type, digest=digest, size=len(data))
    return source.documents(found)


def adopt_image(parts: Parts, documents: Documents, names: tuple[str, ...]) -> str:
    """Record an image whose blobs are in the store, and its layers."""
    image = store(parts, Source(parts.root), documents, names, new=[])
    return f"adopted image {image.manifest} with {len(image.digests)} layers"


def adopt_or_remove(parts: Parts, digest: str) -> str:
    """Record a blob as a layer; remove it when it is none, or is damaged."""
    with parts.blobs.open(digest) as raw:
        start = raw.read(8)
    compression: descriptor.Compression = next(
        (name for magic, name in _MAGIC if start.startswith(magic)), "none"
    )
    media_type = descriptor.layer_media_type(compression)
    try:
        adding.add(parts, parts.blobs.path(digest), Expected(media_type, digest), adding.Extra())
    except (DigestMismatchError, *CONTENT_ERRORS) as error:
        with parts.staging.operation() as operation, parts.lock():
            discard_unused(parts, operation, digest, None)
        return f"removed blob {digest}, which is neither layer nor image: {error.message}"
    return f"adopted layer {digest}; what it depended on is not known any more"
