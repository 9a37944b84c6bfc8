"""OCI image layouts as values: made from layers, or read and checked to the last digest.

A layout is a mapping of relative path to bytes; nothing here does I/O, so that a case may write one
to any host, whole or damaged, and read back what a subject wrote. Sources: image-spec
image-layout.md, manifest.md, config.md, descriptor.md.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import zstandard

from conformance.layers import Layer, sha256

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
REF_NAME: Final = "org.opencontainers.image.ref.name"

Files = dict[str, bytes]
Descriptor = dict[str, Any]


@dataclass(frozen=True)
class Image:
    """An image as a recipe: layers, base first, and what its configuration says besides.

    ``manifest`` and ``config`` are merged over what is generated, so that any field can be added
    or spoilt.
    """

    layers: tuple[Layer, ...]
    reference: str | None = "latest"
    config: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def config_bytes(self) -> bytes:
        """Return the configuration (image-spec config.md)."""
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": "2017-07-14T02:40:00Z",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]},
            "history": [{"created_by": f"layer {n}"} for n, _ in enumerate(self.layers)],
        }
        return dumped({**config, **self.config})

    def manifest_bytes(self) -> bytes:
        """Return the manifest (image-spec manifest.md)."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": describe(CONFIG, self.config_bytes()),
            "layers": [describe(layer.media_type, layer.blob()) for layer in self.layers],
        }
        return dumped({**manifest, **self.manifest})

    @property
    def digest(self) -> str:
        """The manifest's digest: the image's name."""
        return sha256(self.manifest_bytes())

    def blobs(self) -> list[bytes]:
        """Return all that the image needs, layers first."""
        return [
            *(layer.blob() for layer in self.layers),
            self.config_bytes(),
            self.manifest_bytes(),
        ]

    def described(self) -> Descriptor:
        """Return the manifest's descriptor in an index."""
        named = {} if self.reference is None else {"annotations": {REF_NAME: self.reference}}
        return describe(MANIFEST, self.manifest_bytes()) | named


def layout(*images: Image) -> Files:
    """Return an image layout that holds the images (image-spec image-layout.md)."""
    files = {blob_path(sha256(blob)): blob for image in images for blob in image.blobs()}
    index = {"schemaVersion": 2, "manifests": [image.described() for image in images]}
    return {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": dumped(index),
        **files,
    }


def blob_path(digest: str) -> str:
    """Return where a blob lies in a layout."""
    return "blobs/" + digest.replace(":", "/")


def describe(media_type: str, data: bytes) -> Descriptor:
    """Return the descriptor of ``data`` (image-spec descriptor.md)."""
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


def dumped(value: object) -> bytes:
    """Return JSON with its keys as they come."""
    return json.dumps(value).encode()


class NotALayoutError(AssertionError):
    """What should be an image layout is none: the message says where."""


@dataclass(frozen=True)
class Found:
    """One image as it was read from a layout, every blob of it checked."""

    digest: str
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    blobs: tuple[bytes, ...]

    @property
    def digests(self) -> list[str]:
        """The layers' digests, base first."""
        return [layer["digest"] for layer in self.manifest["layers"]]

    @property
    def diff_ids(self) -> list[str]:
        """What the configuration says that the layers' diffIDs are."""
        return list(self.config["rootfs"]["diff_ids"])

    def tars(self) -> Iterator[bytes]:
        """Return the layers' uncompressed archives, one at a time."""
        for descriptor, blob in zip(self.manifest["layers"], self.blobs, strict=True):
            yield uncompressed(descriptor["mediaType"], blob)

    def layers(self) -> list[Layer]:
        """Return the layers for the model, read by the standard library's tarfile."""
        return [Layer.from_tar(tar) for tar in self.tars()]


def uncompressed(media_type: str, blob: bytes) -> bytes:
    """Return the archive in a layer's blob."""
    if media_type.endswith("gzip"):
        return gzip.decompress(blob)
    if media_type.endswith("+zstd"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(blob)
    return blob


def read(get: Callable[[str], bytes], reference: str | None = None) -> Found:
    """Read one image of a layout through ``get``, which returns the file at a relative path.

    Raises NotALayoutError where anything is not what its descriptor or the specification says.
    """
    marker = json.loads(get("oci-layout"))
    _demand(marker.get("imageLayoutVersion") == "1.0.0", "oci-layout has another version")
    index = json.loads(get("index.json"))
    _demand(index.get("schemaVersion") == 2, "index.json has another schemaVersion")
    found = [
        entry
        for entry in index["manifests"]
        if reference is None or entry.get("annotations", {}).get(REF_NAME) == reference
    ]
    _demand(len(found) == 1, f"index.json has {len(found)} manifests for {reference!r}")

    def blob(descriptor: Descriptor) -> bytes:
        data = get(blob_path(descriptor["digest"]))
        digest, size = descriptor["digest"], descriptor["size"]
        _demand(sha256(data) == digest, f"blob {digest} has the content of {sha256(data)}")
        _demand(len(data) == size, f"blob {digest} has {len(data)} bytes, not {size}")
        return data

    manifest = json.loads(blob(found[0]))
    _demand(manifest.get("schemaVersion") == 2, "the manifest has another schemaVersion")
    config = json.loads(blob(manifest["config"]))
    image = Found(
        found[0]["digest"], manifest, config, tuple(blob(layer) for layer in manifest["layers"])
    )
    made = [sha256(tar) for tar in image.tars()]
    _demand(made == image.diff_ids, f"the layers' diffIDs are {made}, not {image.diff_ids}")
    return image


def _demand(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not condition:
        raise NotALayoutError(otherwise)
