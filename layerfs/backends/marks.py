"""What the overlay backend notes of a stored layer, in one small file beside its tree.

Written once, with the layer; read at each mount, so it is one short read. The first line is a
checksum of the rest, since nothing else would notice a damaged bit here. (Not a digest: it guards
against accidents, and hashlib would cost each mount the start of OpenSSL.)
"""

from __future__ import annotations

import json
import os
import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from layerfs.errors import StorageError

NAME = "marks"
_PIECE = 1 << 16


class Marks(NamedTuple):
    """Paths are relative to the layer's root, which is ``b"."``."""

    #: Directories that the layer's tar did not describe: a lower layer may decide their metadata.
    implicit: frozenset[bytes] = frozenset()
    #: Directories, without the root, that hold whiteouts on disk.
    whiteouts: frozenset[bytes] = frozenset()
    #: Nothing of lower layers is seen, but for the metadata of the root directory.
    opaque_root: bool = False

    def encode(self) -> bytes:
        """Return the content of the file; the same for equal marks."""
        body = json.dumps(
            {
                "implicit": sorted(os.fsdecode(path) for path in self.implicit),
                "opaque_root": self.opaque_root,
                "whiteouts": sorted(os.fsdecode(path) for path in self.whiteouts),
            }
        ).encode("ascii")
        return b"%08x\n%b\n" % (zlib.crc32(body), body)


@lru_cache(maxsize=1024)  # most layers of a stack have the same, or nothing to say
def decode(data: bytes) -> Marks:
    """Read what ``encode`` wrote. ValueError when it is anything else."""
    checksum, _, body = data.removesuffix(b"\n").partition(b"\n")
    if checksum != b"%08x" % zlib.crc32(body):
        raise ValueError("its checksum does not match")
    found = json.loads(body)
    return Marks(
        implicit=frozenset(os.fsencode(path) for path in found["implicit"]),
        whiteouts=frozenset(os.fsencode(path) for path in found["whiteouts"]),
        opaque_root=found["opaque_root"],
    )


def load(layer: str, diff_id: str) -> Marks:
    """Read the marks of the layer in directory ``layer``. StorageError, with the remedy."""
    cause: OSError | ValueError
    try:
        return decode(_read(f"{layer}/{NAME}"))
    except FileNotFoundError as error:
        what, cause = "is missing", error
    except ValueError as error:
        what, cause = f"is damaged ({NAME}: {error})", error
    raise StorageError(
        f"the tree of layer {diff_id} {what}: `layerfs repair` extracts it again",
        digest=diff_id,
        path=layer,
    ) from cause


def _read(path: str) -> bytes:
    # A stack reads hundreds of these: no file object, and one read for all but the rare large one.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = piece = os.read(fd, _PIECE)
        while len(piece) == _PIECE:
            piece = os.read(fd, _PIECE)
            data += piece
        return data
    finally:
        os.close(fd)


def save(layer: Path, marks: Marks) -> None:
    """Write the marks beside a tree that is being made. OSError; not durable yet."""
    (layer / NAME).write_bytes(marks.encode())
