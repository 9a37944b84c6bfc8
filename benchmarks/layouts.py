"""OCI image layouts, read and written: the images that all contenders get.

Nothing here is trusted or verified; both ends are our own.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

TAG: Final = "latest"
_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
#: Only small layers are looked through: those that were edited by hand.
_LOOKED_THROUGH: Final = 1 << 20


class Blob(NamedTuple):
    """A gzip layer: a file, or its bytes where they are few."""

    path: Path
    digest: str
    size: int
    diff_id: str
    data: bytes = b""


def layers_of(layout: Path) -> list[Blob]:
    """Return the layers of the one image of a layout, base first, as everybody can apply them.

    umoci writes whiteouts below a name that the same layer makes a symlink. They hide nothing, but
    containers-storage stumbles over them, so such layers are rewritten without.
    """
    index = json.loads((layout / "index.json").read_bytes())
    manifest = json.loads(_place(layout, index["manifests"][0]["digest"]).read_bytes())
    config = json.loads(_place(layout, manifest["config"]["digest"]).read_bytes())
    return [
        _portable(Blob(_place(layout, one["digest"]), one["digest"], one["size"], diff_id))
        for one, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True)
    ]


def packed(name: str, tar: bytes) -> Blob:
    """Return a layer made of the bytes of a tar."""
    data = gzip.compress(tar, 6, mtime=0)
    return Blob(Path(name), _digest(data), len(data), _digest(tar), data)


def tiny(number: int) -> Blob:
    """Return a layer with one directory and one small file, other than that of any other number."""
    return packed(f"tiny-{number}", tiny_tar(number))


def tiny_tar(number: int) -> bytes:
    """Return the tar of ``tiny``."""
    content = f"{number}\n".encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        folder = tarfile.TarInfo("tiny")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        file = tarfile.TarInfo(f"tiny/{number}")
        file.size = len(content)
        tar.addfile(file, io.BytesIO(content))
    return out.getvalue()


def write(layout: Path, layers: Sequence[Blob]) -> None:
    """Write the layout of one image, named "latest"; blobs are linked where they can be."""
    (layout / "blobs" / "sha256").mkdir(parents=True)
    for layer in layers:
        place = _place(layout, layer.digest)
        if layer.data:
            place.write_bytes(layer.data)
        else:
            _link(layer.path, place)
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, **_write(layout, config)},
        "layers": [
            {"mediaType": _GZIP, "digest": layer.digest, "size": layer.size} for layer in layers
        ],
    }
    top = {
        "mediaType": _MANIFEST,
        **_write(layout, manifest),
        "annotations": {"org.opencontainers.image.ref.name": TAG},
    }
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def _portable(blob: Blob) -> Blob:
    if blob.size > _LOOKED_THROUGH:
        return blob
    tar = gzip.decompress(blob.path.read_bytes())
    kept = without_markers_below_symlinks(tar)
    return blob if kept == tar else packed(blob.path.name, kept)


def without_markers_below_symlinks(tar: bytes) -> bytes:
    """Return the archive less the whiteouts below names that it makes symlinks, else unchanged."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        members = archive.getmembers()
        end = archive.offset  # of the last member's data; what follows are zeros
    symlinks = {member.name for member in members if member.issym()}
    starts = [member.offset for member in members]
    kept = bytearray()
    for member, begin, after in zip(members, starts, [*starts[1:], end], strict=True):
        folder, _, name = member.name.rpartition("/")
        if not (name.startswith(".wh.") and folder in symlinks):
            kept += tar[begin:after]
    return bytes(kept) + tar[end:]


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def _write(layout: Path, document: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(document).encode()
    _place(layout, _digest(data)).write_bytes(data)
    return {"digest": _digest(data), "size": len(data)}


def _place(layout: Path, digest: str) -> Path:
    algorithm, _, name = digest.partition(":")
    return layout / "blobs" / algorithm / name


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
