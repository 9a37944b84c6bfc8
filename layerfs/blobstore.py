"""Blobs by digest, in the form of an OCI image layout; its index.json. No database, no locks.

Source: image-spec v1.1 image-layout.md. A blob appears by a rename, whole, and is never changed.
Callers hold the store's lock around everything that publishes or removes.
"""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from layerfs import digest as digests
from layerfs.errors import StorageError, ValidationError, from_os_error

LAYOUT: Final = {"imageLayoutVersion": "1.0.0"}
REFERENCE_NAME: Final = "org.opencontainers.image.ref.name"

_BLOCK: Final = 512  # of st_blocks, stat(2)


class BlobStore:
    """The ``blobs`` directory, ``oci-layout`` and ``index.json`` below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self) -> None:
        """Write the files of an image layout that are missing; the directories are there."""
        try:
            if not (self.root / "index.json").exists():
                self.write_index(())
            # Last: this file is what makes the directory an image layout.
            if not (self.root / "oci-layout").exists():
                _replace(self.root / "oci-layout", _json(LAYOUT))
        except OSError as error:
            raise from_os_error(error, "creating the image layout in", str(self.root)) from error

    def path(self, digest: str) -> Path:
        """Return where the blob lies, or would lie. ValidationError: malformed digest."""
        return self.root / "blobs" / digests.algorithm(digest) / digests.hexpart(digest)

    def open(self, digest: str) -> io.FileIO:
        """Open a blob for reading. StorageError: it is missing, or no regular file."""
        path = self.path(digest)
        try:
            # Not O_NOFOLLOW: an administrator may keep blobs elsewhere, and content is verified.
            raw = io.FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
        except FileNotFoundError as error:
            raise StorageError(
                f"the blob of {digest} is missing; add the layer again to restore it",
                digest=digest,
                path=path,
            ) from error
        except OSError as error:
            raise from_os_error(error, "opening blob", str(path)) from error
        if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            raw.close()
            raise StorageError(f"blob {str(path)!r} is no regular file", digest=digest, path=path)
        return raw

    def size(self, digest: str) -> int | None:
        """Return the length of a blob in bytes; None when there is none."""
        try:
            seen = os.stat(self.path(digest))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(error, "looking at blob", str(self.path(digest))) from error
        return seen.st_size if stat.S_ISREG(seen.st_mode) else None

    def usage(self, path: Path) -> int:
        """Return the bytes that a blob, staged or published, takes on disk.

        ZFS counts as nothing what it has not written yet; a blob has no holes.
        """
        try:
            found = os.stat(path)
            return max(found.st_blocks * _BLOCK, found.st_size)
        except OSError as error:
            raise from_os_error(error, "measuring blob", str(path)) from error

    def publish(self, staged: Path, digest: str) -> None:
        """Rename a durable file to its place, replacing what is there, and sync the directory."""
        path = self.path(digest)
        try:
            os.rename(staged, path)
            sync_directory(path.parent)
        except OSError as error:
            raise from_os_error(error, "publishing blob", str(path)) from error

    def discard(self, digest: str, trash: Path) -> None:
        """Rename a blob into ``trash``, a directory of this store; none is fine."""
        try:
            os.rename(self.path(digest), trash / f"blob-{os.urandom(4).hex()}")
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os_error(error, "removing blob", str(self.path(digest))) from error

    def enumerate(self) -> Iterator[str]:
        """Yield the digests of all blobs, in no order; files that are not named so are left out."""
        for name in digests.ALGORITHMS:
            try:
                with os.scandir(self.root / "blobs" / name) as entries:
                    found = [entry.name for entry in entries]
            except FileNotFoundError:
                continue
            except OSError as error:
                raise from_os_error(error, "listing blobs") from error
            for entry in found:
                try:
                    yield digests.parse(f"{name}:{entry}")
                except ValidationError:
                    continue

    # --- the index --------------------------------------------------------------------------

    def write_index(self, manifests: Iterable[dict[str, Any]]) -> None:
        """Replace index.json, durably: the descriptors of the images of the store."""
        from layerfs.descriptor import INDEX  # noqa: PLC0415 - when images change, only

        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}
        try:
            _replace(self.root / "index.json", _json(document))
        except OSError as error:
            raise from_os_error(error, "writing", str(self.root / "index.json")) from error

    def index_is(self, manifests: Iterable[dict[str, Any]]) -> bool:
        """Say whether index.json names just these."""
        try:
            found = json.loads((self.root / "index.json").read_bytes())
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(found, dict) and found.get("manifests") == list(manifests)

    def layout_is_whole(self) -> bool:
        """Say whether the ``oci-layout`` file is there and says what it must."""
        try:
            return bool(json.loads((self.root / "oci-layout").read_bytes()) == LAYOUT)
        except (OSError, ValueError, RecursionError):
            return False

    def write_layout(self) -> None:
        """Replace the ``oci-layout`` file."""
        try:
            _replace(self.root / "oci-layout", _json(LAYOUT))
        except OSError as error:
            raise from_os_error(error, "writing", str(self.root / "oci-layout")) from error


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that there is always a whole one, the old or the new.

    The new one has a fixed name until it is renamed, so that a crash leaves at most one behind,
    which the next writer overwrites: callers hold the store's lock.
    """
    staged = path.with_name(f"{path.name}.new")
    try:
        with staged.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
