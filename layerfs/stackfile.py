"""The file in which a stack travels from one store to another. No ZFS here, and no store.

One tar, written and read in one pass, whose members are, in this order:

    manifest.json.0 …           what follows: see ``Manifest``
    blobs/<hex>.0 …             for each layer that is sent, its blob
    chains/<hex>.0 …            for each chain that is sent, the stream of its zfs snapshot

Each of these contents is cut into members of at most 1 MiB, numbered from 0, since the length of a
stream is not known before it ends; a member ``<name>.sha256`` with the digest of all of them ends
it. So memory is bounded on both sides, and a content that lacks a part, or has a changed, foreign
or misplaced one, is told from a whole one before anybody relies on it.

Reading is strict: every member must be the one that the manifest makes the next, and whatever else
is found is a ValidationError (it is no such file, or is cut short) or a DigestMismatchError (a
content is not what was written).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from layerfs import digest as digests
from layerfs import fields
from layerfs.errors import (
    DigestMismatchError,
    InvalidLayerPathError,
    LimitExceededError,
    StorageError,
    ValidationError,
    from_os_error,
)
from layerfs.limits import Limits
from layerfs.records import Layer
from layerfs.tarstream import Member, TarReader
from layerfs.tarwrite import TarWriter

if TYPE_CHECKING:
    from layerfs.backends import Sink

FORMAT: Final = "layerfs-stack"
VERSION: Final = 1
#: Bytes of one member, at most.
PART: Final = 1 << 20
#: Bytes of the manifest, at most: of 500 layers with 16 KiB of annotations each.
MAX_MANIFEST: Final = 16 << 20
_MANIFEST: Final = "manifest.json"

Progress = Callable[[int, int | None], None]


def stack_of(layers: Iterable[Layer]) -> list[str]:
    """Return the diffIDs of the stack, base first: of one that occurs twice, the upper place."""
    return list(dict.fromkeys(layer.diff_id for layer in reversed(list(layers))))[::-1]


class Manifest(NamedTuple):
    """The stack: its layers and, for each chain of it, the guid of the zfs snapshot; base first.

    Of the first ``known_layers`` layers and ``known_chains`` chains the receiver has been said to
    have the blob and the dataset: nothing of them is in the file.
    """

    layers: tuple[Layer, ...]
    guids: tuple[str, ...]
    known_layers: int = 0
    known_chains: int = 0

    @property
    def diff_ids(self) -> list[str]:
        """Return the diffIDs of the chains' topmost layers."""
        return stack_of(self.layers)

    def encoded(self) -> bytes:
        """Return the manifest as JSON. LimitExceededError: it would not be read again."""
        chains = zip(digests.chain_ids(self.diff_ids), self.guids, strict=True)
        document = {
            "format": FORMAT,
            "version": VERSION,
            "layers": [
                {
                    "digest": one.digest,
                    "diff_id": one.diff_id,
                    "size": one.size,
                    "media_type": one.media_type,
                    "dependencies": list(one.dependencies),
                    "annotations": dict(one.annotations),
                }
                for one in self.layers
            ],
            "chains": [{"chain_id": chain_id, "guid": guid} for chain_id, guid in chains],
            "known": {"layers": self.known_layers, "chains": self.known_chains},
        }
        data = json.dumps(document, indent=1).encode("ascii") + b"\n"
        if len(data) > MAX_MANIFEST:
            raise LimitExceededError(
                f"the manifest of these layers would have {len(data)} bytes, most of them "
                "annotations: send fewer layers at once",
                limit=f"max_manifest_bytes={MAX_MANIFEST}",
            )
        return data

    @classmethod
    def decoded(cls, data: bytes) -> Manifest:
        """Read what ``encoded`` wrote. ValidationError: malformed, or of another version."""
        try:
            document = json.loads(data, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ValidationError(f"{_MANIFEST} is not JSON: {error}") from None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValidationError(f"{_MANIFEST} is not that of a stack sent by layerfs")
        if document.get("version") != VERSION:
            raise ValidationError(
                f"the stack was sent in version {str(document.get('version'))[:20]} of the format, "
                f"and this layerfs reads version {VERSION}: update it"
            )
        found = fields.checked(_MANIFEST, _FIELDS, document)
        layers = tuple(_layer(one) for one in found["layers"])
        chains = [fields.checked(f"{_MANIFEST}: chain", _CHAIN, one) for one in found["chains"]]
        known = fields.checked(f"{_MANIFEST}: known", _KNOWN, found["known"])
        manifest = cls(
            layers, tuple(one["guid"] for one in chains), known["layers"], known["chains"]
        )
        manifest._check([one["chain_id"] for one in chains])
        return manifest

    def _check(self, chain_ids: list[str]) -> None:
        wrong = ""
        if not self.layers:
            wrong = "there is no layer"
        elif len({one.digest for one in self.layers}) < len(self.layers):
            wrong = "a layer is there twice"
        elif chain_ids != digests.chain_ids(self.diff_ids):
            wrong = "the chains are not those of the layers"
        elif not all(one.diff_id.startswith("sha256:") for one in self.layers):
            wrong = "a diffID is not sha256"  # as chainIDs are made of
        elif not all(guid.isascii() and guid.isdecimal() for guid in self.guids):
            wrong = "a guid is no number"
        elif self.known_layers > len(self.layers) or self.known_chains > len(self.guids):
            wrong = "more is known than there is"
        if wrong:
            raise ValidationError(f"{_MANIFEST}: {wrong}")


def _list(value: Any) -> str:
    return "" if isinstance(value, list) else "must be a list"


def _names(value: Any) -> str:
    if not isinstance(value, dict):
        return "must be an object of strings"
    return "" if all(isinstance(one, str) for one in value.values()) else "must have strings alone"


_ANYTHING: Final = fields.Field(lambda _: "")
_LIST: Final = fields.Field(_list)
_FIELDS: Final = {
    "format": fields.TEXT,
    "version": fields.COUNT,
    "layers": _LIST,
    "chains": _LIST,
    "known": _ANYTHING,
}
_LAYER: Final = {
    "digest": fields.TEXT,
    "diff_id": fields.TEXT,
    "size": fields.COUNT,
    "media_type": fields.TEXT,
    "dependencies": fields.TEXTS,
    "annotations": fields.Field(_names),
}
_CHAIN: Final = {"chain_id": fields.TEXT, "guid": fields.TEXT}
_KNOWN: Final = {"layers": fields.COUNT, "chains": fields.COUNT}


def _layer(document: object) -> Layer:
    found = fields.checked(f"{_MANIFEST}: layer", _LAYER, document)
    return Layer(
        digests.parse(found["digest"]),
        digests.parse(found["diff_id"]),
        found["size"],
        found["media_type"],
        tuple(digests.parse(one) for one in found["dependencies"]),
        found["annotations"],
    )


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no value")


def blob_name(digest: str) -> str:
    """Return the name of a layer's blob in the file."""
    return f"blobs/{digests.hexpart(digest)}"


def chain_name(chain_id: str) -> str:
    """Return the name of a chain's stream in the file."""
    return f"chains/{digests.hexpart(chain_id)}"


# --- writing --------------------------------------------------------------------------------------


class StackWriter:
    """Writes the file to ``sink``; ``close`` ends it. Errors of the sink are passed on."""

    def __init__(self, sink: Sink, progress: Progress | None = None) -> None:
        self._tar = TarWriter(sink)
        self._progress = progress
        self._written = 0

    def manifest(self, manifest: Manifest) -> None:
        """Write the manifest, which comes first."""
        data = io.BytesIO(manifest.encoded())
        self.content(_MANIFEST, data.read)

    def content(self, name: str, read: Callable[[int], bytes]) -> None:
        """Write one content: what ``read(n)`` returns, at most ``n`` bytes, until that is none."""
        hasher = hashlib.sha256()
        number = 0
        while data := read(PART):
            hasher.update(data)
            self._member(f"{name}.{number}", data)
            number += 1
        self._member(f"{name}.sha256", hasher.hexdigest().encode("ascii") + b"\n")

    def _member(self, name: str, data: bytes) -> None:
        self._tar.add(Member(name.encode("ascii"), "file", size=len(data)), data)
        self._written += len(data)
        if self._progress is not None:
            self._progress(self._written, None)

    def close(self) -> None:
        """End the archive."""
        self._tar.close()


# --- reading --------------------------------------------------------------------------------------


class StackReader:
    """Reads the file from ``raw``, once; whoever reads asks for the contents in their order."""

    def __init__(self, raw: BinaryIO, progress: Progress | None = None) -> None:
        self._raw = raw
        self._progress = progress
        self._read = 0
        # What bounds a layer's archive says nothing of this one, whose members are bounded here.
        self._tar = TarReader(self, Limits(max_members=2**63 - 1))

    def read(self, n: int, /) -> bytes:
        """Return 1 to ``n`` bytes of the file itself, none at its end; the tar is read from it."""
        try:
            data = self._raw.read(n)
        except OSError as error:
            raise from_os_error(error, "reading the stack") from error
        if data is None:
            raise StorageError(
                "reading the stack: the source has nothing to read yet; let it block"
            )
        self._read += len(data)
        if self._progress is not None:
            self._progress(self._read, None)
        return data

    def fileno(self) -> int:
        """Return the descriptor of the source; raises as its own ``fileno``, or AttributeError."""
        return self._raw.fileno()

    def manifest(self) -> Manifest:
        """Read the manifest."""
        content = self.content(_MANIFEST)
        data = b""
        while piece := content.read(PART):
            data += piece
            if len(data) > MAX_MANIFEST:
                raise ValidationError(f"{_MANIFEST} has more than {MAX_MANIFEST} bytes")
        return Manifest.decoded(data)

    def content(self, name: str) -> Content:
        """Return the content that has to come next. What came before has been read to its end."""
        return Content(self, name)

    def member(self, *names: str) -> tuple[str, bytes]:
        """Return the name and the data of the next member, which must have one of the names."""
        wanted = " or ".join(names)
        try:
            member = next(self._tar, None)
        except (InvalidLayerPathError, LimitExceededError) as error:
            raise ValidationError(f"no stack sent by layerfs: {error.message}") from error
        if member is None:
            raise ValidationError(f"the stack is cut short: it ends before {wanted}")
        name = os.fsdecode(member.name)
        if name not in names or member.kind != "file" or member.sparse is not None:
            raise ValidationError(f"the stack has {name[:255]!r} where {wanted} has to be")
        if member.size > PART:
            raise ValidationError(f"{name} has {member.size} bytes, and may have {PART}")
        return name, self._tar.read()

    def finish(self) -> None:
        """Make sure that nothing follows. ValidationError."""
        try:
            member = next(self._tar, None)
        except (InvalidLayerPathError, LimitExceededError) as error:
            raise ValidationError(f"no stack sent by layerfs: {error.message}") from error
        if member is not None:
            raise ValidationError(f"the stack has {member.name[:255]!r} behind its end")


class Content:
    """One content, read like a file, once. Its end is only told when its digest has been held."""

    def __init__(self, file: StackReader, name: str) -> None:
        self._file = file
        self._name = name
        self._number = 0
        self._rest = b""
        self._ended = False
        self._hasher = hashlib.sha256()

    def read(self, n: int = PART, /) -> bytes:
        """Return 1 to ``n`` bytes; none only at the end. DigestMismatchError: it is another."""
        while not self._rest:
            if self._ended:
                return b""
            self._next()
        data, self._rest = self._rest[:n], self._rest[n:]
        return data

    def _next(self) -> None:
        part, end = f"{self._name}.{self._number}", f"{self._name}.sha256"
        name, data = self._file.member(part, end)
        if name == part:
            self._number += 1
            self._hasher.update(data)
            self._rest = data
            return
        self._ended = True
        if data != self._hasher.hexdigest().encode("ascii") + b"\n":
            raise DigestMismatchError(
                f"{self._name} of the stack is not what was sent: its digest is another"
            )

    def fileno(self) -> int:
        """Return the descriptor of the source; raises as its own ``fileno``, or AttributeError."""
        return self._file.fileno()

    def skip(self) -> None:
        """Read to the end, and drop it. Raises as ``read``."""
        while self.read():
            pass
