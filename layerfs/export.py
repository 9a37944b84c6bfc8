"""Write an OCI image layout: an image of the store, or layers with a new configuration.

What is written is deterministic: the same layers and reference give the same bytes. An image that
is exported as it is keeps its manifest and configuration byte by byte. Blobs are verified as they
are copied: damage does not travel.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from layerfs import descriptor, syscalls
from layerfs import digest as digests_
from layerfs.blobstore import LAYOUT, REFERENCE_NAME
from layerfs.errors import (
    LayerNotFoundError,
    PathError,
    StorageError,
    ValidationError,
    from_os_error,
)
from layerfs.holding import held
from layerfs.opening import Parts
from layerfs.records import Layer
from layerfs.removal import remove_tree
from layerfs.roots import ImageRow

_CHUNK: Final = 1 << 20
#: image-spec annotations.md, the grammar of org.opencontainers.image.ref.name.
_COMPONENT: Final = r"[A-Za-z0-9]+(?:(?:--|[-._:@+])[A-Za-z0-9]+)*"
_REFERENCE: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
#: uname(2)'s machine to GOARCH (https://go.dev/doc/install/source#environment); others are equal.
ARCHITECTURES: Final = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i686": "386",
    "loongarch64": "loong64",
}


@dataclass(frozen=True, slots=True)
class _Image:
    """What is to be written: blobs of the store by digest, and new documents."""

    media_type: str
    manifest: bytes
    blobs: tuple[str, ...]
    documents: tuple[bytes, ...]


def export_layout(
    parts: Parts,
    path: Path,
    digests: Sequence[str] | None,
    image: str | None,
    reference: str,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> str:
    """Write the layout; return the manifest's digest. See ``LayerFS.export_image``."""
    if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
        raise ValidationError(f"malformed reference {str(reference)[:200]!a}")
    if digests is None and image is None:
        raise ValidationError("nothing to export; give layers, or an image, or both")
    row = None
    if image is not None:
        row = parts.meta.roots.image(image)
        if row is None:
            raise LayerNotFoundError(f"no image {image!r} in {str(parts.root)!r}")
    with _held(parts, digests, row) as layers:
        what = (
            _new_image(parts, layers, row)
            if row is None or digests is not None
            else (_same_image(parts, row))
        )
        with _directory(parts, path) as made:
            _write(parts, made, what, reference, progress or (lambda _done, _total: None))
    return digests_.of(what.manifest)


def _held(
    parts: Parts, digests: Sequence[str] | None, row: ImageRow | None
) -> AbstractContextManager[list[Layer]]:
    """Keep the layers that are exported; an image may have none."""
    if digests is None and row is not None:
        return held(parts, row.digests) if row.digests else nullcontext([])
    return held(parts, digests or ())


def architecture() -> str:
    """Return this machine's GOARCH."""
    machine = os.uname().machine
    return ARCHITECTURES.get(machine, machine)


# --- documents ----------------------------------------------------------------------------------


def _same_image(parts: Parts, row: ImageRow) -> _Image:
    manifest = _document(parts, row.manifest)
    return _Image(row.media_type, manifest, (row.config, *row.digests), ())


def _new_image(parts: Parts, layers: Sequence[Layer], row: ImageRow | None) -> _Image:
    config: dict[str, Any] = {"architecture": architecture(), "os": "linux"}
    if row is not None:
        config = json.loads(_document(parts, row.config))
    diff_ids = [layer.diff_id for layer in layers]
    _tell_history(config, diff_ids)
    config["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
    config_bytes = _json(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": descriptor.MANIFEST,
        "config": _descriptor(descriptor.CONFIG, config_bytes),
        "layers": [
            {"mediaType": _oci_type(layer), "digest": layer.digest, "size": layer.size}
            for layer in layers
        ],
    }
    blobs = tuple(layer.digest for layer in layers)
    return _Image(descriptor.MANIFEST, _json(manifest), blobs, (config_bytes,))


def _tell_history(config: dict[str, Any], diff_ids: list[str]) -> None:
    """Keep the history if the image's layers are still the first ones; it must fit the layers."""
    old = (config.get("rootfs") or {}).get("diff_ids") or []
    history = config.pop("history", None)
    if history and diff_ids[: len(old)] == old:
        added = [{"created_by": "layerfs"} for _ in diff_ids[len(old) :]]
        config["history"] = [*history, *added]


def _oci_type(layer: Layer) -> str:
    if layer.media_type.startswith("application/vnd.oci."):
        return layer.media_type
    return descriptor.layer_media_type(descriptor.compression_of(layer.media_type))


def _document(parts: Parts, digest: str) -> bytes:
    with parts.blobs.open(digest) as raw:
        data = raw.readall()
    if digests_.of(data, digests_.algorithm(digest)) != digest:
        raise StorageError(
            f"the blob of {digest} is damaged; import the image again to restore it", digest=digest
        )
    return data


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digests_.of(data), "size": len(data)}


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


# --- writing ------------------------------------------------------------------------------------


@contextmanager
def _directory(parts: Parts, path: Path) -> Iterator[Path]:
    """Make the directory, or take an empty one; when the block fails, all in it goes again."""
    path = Path(os.path.realpath(path))
    if path == parts.root or parts.root in path.parents:
        raise PathError(f"cannot export to {str(path)!r}: it is in the store", path=path)
    try:
        try:
            path.mkdir()
            made = True
        except FileExistsError:
            if os.listdir(path):
                raise PathError(
                    f"cannot export to {str(path)!r}: the directory is not empty", path=path
                ) from None
            made = False
    except OSError as error:
        raise from_os_error(error, "exporting to", str(path)) from error
    try:
        yield path
    except BaseException:
        for name in os.listdir(path):
            remove_tree(path / name)
        if made:
            path.rmdir()
        raise


def _write(
    parts: Parts,
    path: Path,
    what: _Image,
    reference: str,
    progress: Callable[[int, int | None], None],
) -> None:
    index = {
        "schemaVersion": 2,
        "mediaType": descriptor.INDEX,
        "manifests": [
            {
                **_descriptor(what.media_type, what.manifest),
                "annotations": {REFERENCE_NAME: reference},
            }
        ],
    }
    try:
        for digest in dict.fromkeys(what.blobs):
            _copy_blob(parts, path, digest, progress)
        for data in (*what.documents, what.manifest):
            _place(path, digests_.of(data)).write_bytes(data)
        (path / "oci-layout").write_bytes(_json(LAYOUT))
        # Last: without it, what a crash leaves is no image layout.
        (path / "index.json").write_bytes(_json(index))
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syscalls.syncfs(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise from_os_error(error, "exporting to", str(path)) from error


def _place(path: Path, digest: str) -> Path:
    place = path / "blobs" / digests_.algorithm(digest) / digests_.hexpart(digest)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _copy_blob(
    parts: Parts, path: Path, digest: str, progress: Callable[[int, int | None], None]
) -> None:
    hasher = digests_.new_hasher(digests_.algorithm(digest))
    with parts.blobs.open(digest) as raw, _place(path, digest).open("wb") as out:
        size = os.fstat(raw.fileno()).st_size
        while data := raw.read(_CHUNK):
            hasher.update(data)
            out.write(data)
            progress(raw.tell(), size)
    if hasher.hexdigest() != digests_.hexpart(digest):
        raise StorageError(
            f"the blob of {digest} is damaged; add it again to restore it", digest=digest
        )
