"""Images that an adapter writes, so that an implementation unpacks just the layers asked for.

A layer's record is its descriptor in the manifest of an image that has this layer alone: media
type, digest and size, and the diffID as the annotation that is customary for it.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final, cast

from protocol import Json, Refusal

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
TAR: Final = "application/vnd.oci.image.layer.v1.tar"
_DIFF_ID: Final = "containerd.io/uncompressed"
_READERS: Final[Mapping[str, Sequence[str]]] = {"gzip": ["gzip", "-dc"], "zstd": ["zstd", "-dc"]}


def sha256(data: bytes) -> str:
    """Return the digest of a blob."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def blob(path: str) -> IO[bytes]:
    """Open a layer's blob, which is a file. Raises Refusal."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise Refusal("path-error", f"{path}: {error.strerror}", path=path) from None


def told(source: IO[bytes], request: Json) -> tuple[Json, str]:
    """Return the descriptor of a blob as ``add`` was told of it; what was not told is computed.

    Whether that is true is for the implementation to find out: where the blob cannot be
    decompressed, the diffID is that of what came out until then. The second value is the code for
    a complaint that something ends too early: whether that is the compression or the archive.
    """
    media_type, size = request["media_type"], request["size"]
    digest = request["digest"] or _digest(source)
    reader = _READERS.get(media_type.replace(".", "+").rpartition("+")[2], ["cat"])
    with subprocess.Popen(reader, stdin=source, stdout=subprocess.PIPE) as process:
        diff_id = _digest(cast("IO[bytes]", process.stdout))
    cut_off = "decompression-error" if process.returncode else "validation-error"
    size = source.seek(0, 2) if size is None else size
    source.seek(0)
    return described(media_type, digest, size, request["diff_id"] or diff_id), cut_off


def _digest(source: IO[bytes]) -> str:
    found = hashlib.file_digest(source, "sha256").hexdigest()
    if source.seekable():
        source.seek(0)
    return f"sha256:{found}"


def described(media_type: str, digest: str, size: int, diff_id: str) -> Json:
    """Return the descriptor of a layer's blob, with the diffID of what it uncompresses to."""
    return descriptor(media_type, digest, size, {_DIFF_ID: diff_id})


def descriptor(media_type: str, digest: str, size: int, annotations: Json | None = None) -> Json:
    """Return a descriptor (image-spec descriptor.md)."""
    found: Json = {"mediaType": media_type, "digest": digest, "size": size}
    return {**found, "annotations": annotations} if annotations else found


def image(name: str, layers: Sequence[Json], **annotations: str) -> tuple[bytes, bytes]:
    """Return the manifest and the configuration of an image of layers, base first.

    Images of one configuration are one image to some stores: the name keeps them apart.
    """
    diff_ids = [layer["annotations"][_DIFF_ID] for layer in layers]
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"name": name}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, sha256(config), len(config)),
        "layers": list(layers),
        "annotations": annotations,
    }
    return json.dumps(manifest).encode(), config


def layout(manifest: bytes, config: bytes, **names: str) -> dict[str, bytes]:
    """Return the files of an image layout, without the layers' blobs."""
    entry = descriptor(MANIFEST, sha256(manifest), len(manifest), names)
    return {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
        path_of(sha256(manifest)): manifest,
        path_of(sha256(config)): config,
    }


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a tar of files."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as made:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return memory.getvalue()


def path_of(digest: str) -> str:
    """Return where a blob lies in a layout (image-spec image-layout.md)."""
    return f"blobs/{digest.replace(':', '/')}"


def layer(manifest: Mapping[str, Any]) -> Json:
    """Return the protocol's ``layer`` of the image that has this layer alone."""
    (one,) = manifest["layers"]
    return {
        "digest": one["digest"],
        "diff_id": one["annotations"][_DIFF_ID],
        "size": one["size"],
        "media_type": one["mediaType"],
    }
