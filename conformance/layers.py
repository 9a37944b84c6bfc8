"""The layer builder: a recipe of entries becomes a tar, a blob, and its digests.

A recipe is read twice, by two parts that know nothing of each other: here it becomes bytes, in
``model.py`` it becomes the tree that must result. Any archive can be built, valid or hostile; what
is not an entry (damage, forged headers) is :class:`Raw`. Nothing here does I/O.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import IO, Any, Final, Literal

import zstandard

from conformance import tar
from conformance.entries import (
    MTIME,
    BlockDevice,
    CharDevice,
    Dir,
    Entry,
    Fifo,
    File,
    Hardlink,
    Hashed,
    Opaque,
    Raw,
    Sparse,
    Symlink,
    Whiteout,
)
from conformance.tar import BLOCK, END, Format, Header, padded

__all__ = [
    "MEDIA_TYPE",
    "MTIME",
    "BlockDevice",
    "CharDevice",
    "Compression",
    "Dir",
    "Entry",
    "Fifo",
    "File",
    "Hardlink",
    "Hashed",
    "Layer",
    "Opaque",
    "Raw",
    "Sparse",
    "Symlink",
    "Whiteout",
    "sha256",
]

Compression = Literal["none", "gzip", "zstd"]

MEDIA_TYPE: Final[Mapping[Compression, str]] = {
    "none": "application/vnd.oci.image.layer.v1.tar",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}


@dataclass(frozen=True, init=False)
class Layer:
    """A layer as a recipe. ``end`` is what follows the last member."""

    entries: tuple[Entry | Raw, ...]
    compression: Compression
    format: Format
    end: bytes

    def __init__(
        self,
        *entries: Entry | Raw,
        compression: Compression = "none",
        format: Format = "pax",  # noqa: A002 - tar's own word
        end: bytes = END,
    ) -> None:
        object.__setattr__(self, "entries", entries)
        object.__setattr__(self, "compression", compression)
        object.__setattr__(self, "format", format)
        object.__setattr__(self, "end", end)

    def tar(self) -> bytes:
        """Return the uncompressed archive."""
        return self._tar

    def blob(self) -> bytes:
        """Return the archive as it is stored and sent: compressed where the recipe says so."""
        return self._blob

    @cached_property
    def digest(self) -> str:
        """The sha256 of the blob: the layer's name in a store."""
        return sha256(self._blob)

    @property
    def sha512(self) -> str:
        """The blob's other digest (image-spec descriptor.md, "Registered Algorithms")."""
        return "sha512:" + hashlib.sha512(self._blob).hexdigest()

    @cached_property
    def diff_id(self) -> str:
        """The sha256 of the uncompressed archive (image-spec config.md, "Layer DiffID")."""
        return sha256(self._tar)

    @property
    def media_type(self) -> str:
        """The OCI media type of the blob."""
        return MEDIA_TYPE[self.compression]

    @property
    def size(self) -> int:
        """Bytes of the blob."""
        return len(self._blob)

    def with_opaque(self, path: str, position: str) -> Layer:
        """Return this layer with an opaque marker as the first, middle or last of its entries."""
        at = {"first": 0, "middle": len(self.entries) // 2, "last": len(self.entries)}[position]
        entries = (*self.entries[:at], Opaque(path), *self.entries[at:])
        return Layer(*entries, compression=self.compression, format=self.format, end=self.end)

    def compressed(self, compression: Compression) -> Layer:
        """Return the same archive in another compression."""
        return Layer(*self.entries, compression=compression, format=self.format, end=self.end)

    def in_parts(self, compression: Compression, count: int) -> Layer:
        """Return the same archive, compressed in several members or frames, one after the other."""
        step = -(-len(self._tar) // count)
        parts = [self._tar[at : at + step] for at in range(0, len(self._tar), step)]
        return self.as_blob(compression, b"".join(compress(compression, part) for part in parts))

    def as_blob(self, compression: Compression, blob: bytes) -> Layer:
        """Return the same archive, stored as these very bytes, right or wrong."""
        again = self.compressed(compression)
        again.__dict__["_blob"] = blob
        return again

    @classmethod
    def from_tar(cls, source: bytes | IO[bytes]) -> Layer:
        """Read a real, uncompressed archive through the standard library's tarfile.

        The contents of its files are hashed and not kept: such a layer can be modelled, not
        written. Raises tarfile.TarError when it is not an archive, ValueError for what no recipe
        can express.
        """
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as archive:
            return cls(*(_read(archive, member) for member in archive))

    @cached_property
    def _tar(self) -> bytes:
        return b"".join([*self._members(), self.end])

    @cached_property
    def _blob(self) -> bytes:
        return compress(self.compression, self._tar)

    def _members(self) -> Iterator[bytes]:
        named: dict[str, Entry] = {}
        for entry in self.entries:
            if isinstance(entry, Raw):
                yield entry.data
                continue
            yield _write(entry, self.format, named)
            named[entry.path] = entry


def compress(compression: Compression, data: bytes) -> bytes:
    """Return ``data`` as one gzip member, one zstd frame, or as it is."""
    if compression == "gzip":
        return gzip.compress(data, compresslevel=1, mtime=0)
    if compression == "zstd":
        return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data)
    return data


def sha256(data: bytes) -> str:
    """Return the digest of ``data`` as a descriptor has it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _write(entry: Entry, form: Format, named: Mapping[str, Entry]) -> bytes:
    if isinstance(entry, Hardlink):
        like = named.get(entry.to, entry)
        header = replace(_header(like), typeflag=b"1", size=0, linkname=os.fsencode(entry.to))
        return tar.encode(replace(header, name=os.fsencode(entry.path)), form)
    if isinstance(entry, Sparse):
        return _write_sparse(entry, form)
    if not isinstance(entry, File):
        return tar.encode(_header(entry), form)
    if isinstance(entry.data, Hashed):
        raise TypeError(f"{entry.path!r}: only the hash of its content is known")
    return tar.encode(replace(_header(entry), size=len(entry.data)), form) + padded(entry.data)


def _header(entry: Entry) -> Header:
    return Header(
        os.fsencode(entry.name),
        entry.typeflag,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        mtime_ns=entry.mtime_ns,
        linkname=os.fsencode(entry.link),
        rdev=entry.rdev,
        xattrs=entry.xattrs,
    )


def _write_sparse(entry: Sparse, form: Format) -> bytes:
    # As GNU tar writes them: whole blocks, and an empty piece where the file ends with a hole.
    pieces = [(at, len(piece)) for at, piece in entry.pieces]
    if not pieces or sum(pieces[-1]) < entry.size:
        pieces.append((entry.size, 0))
    data = b"".join(piece for _, piece in entry.pieces)
    if entry.dialect == "gnu":
        header = replace(_header(entry), typeflag=b"S", size=len(data))
        return tar.gnu_sparse(header, entry.size, pieces) + padded(data)
    name = os.fsencode(entry.path)
    records, before = tar.sparse_records(entry.dialect, name, entry.size, pieces)
    header = replace(_header(entry), size=len(before) + len(data), records=records)
    return tar.encode(header, form) + padded(before + data)


# --- reading a real archive ---------------------------------------------------------------------

_XATTR: Final = "SCHILY.xattr."


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    path = member.name or "."
    metadata: dict[str, Any] = {
        "mode": member.mode & 0o7777,
        "uid": member.uid,
        "gid": member.gid,
        # tarfile's own mtime is a float, which cannot hold nanoseconds.
        "mtime_ns": int(Decimal(member.pax_headers.get("mtime", str(int(member.mtime)))) * 10**9),
        "xattrs": {
            key.removeprefix(_XATTR): value.encode("utf-8", "surrogateescape")
            for key, value in member.pax_headers.items()
            if key.startswith(_XATTR)
        },
    }
    head, slash, base = path.rpartition("/")
    if base == ".wh..wh..opq":
        return Opaque(head or ".", **metadata)
    if base.startswith(".wh."):
        return Whiteout(f"{head}{slash}{base.removeprefix('.wh.')}", **metadata)
    if member.isreg():
        return File(path, _hashed(archive, member), **metadata)
    if member.islnk() or member.issym():
        return (Hardlink if member.islnk() else Symlink)(path, member.linkname, **metadata)
    if member.ischr() or member.isblk():
        kind = CharDevice if member.ischr() else BlockDevice
        return kind(path, member.devmajor, member.devminor, **metadata)
    if member.isdir() or member.isfifo():
        return (Dir if member.isdir() else Fifo)(path, **metadata)
    raise ValueError(f"{path!r} has a type that no recipe has: {member.type!r}")


def _hashed(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Hashed:
    content = archive.extractfile(member)
    hasher, size = hashlib.sha256(), 0
    while content is not None and (chunk := content.read(128 * BLOCK)):
        hasher.update(chunk)
        size += len(chunk)
    return Hashed(size, hasher.hexdigest())
