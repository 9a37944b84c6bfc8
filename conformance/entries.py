"""The entries of a layer recipe: values that ``layers.py`` writes and ``model.py`` reads.

Names are text as ``os.fsdecode`` makes it, so bytes that are not UTF-8 are lone surrogates.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar, Final, Literal

#: The time of every entry that does not say otherwise: 2017-07-14 02:40:00 UTC, whole seconds.
MTIME: Final = 1_500_000_000 * 10**9


@dataclass(frozen=True, slots=True)
class Hashed:
    """Content that is known by its size and sha256 only: that of a real archive's file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """What all entries have: a name as it stands in the archive, and metadata."""

    #: The type of its header (POSIX.1-2017 pax, "typeflag").
    typeflag: ClassVar[bytes]

    path: str
    _: KW_ONLY
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime_ns: int = MTIME
    xattrs: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name in the archive."""
        return self.path

    @property
    def link(self) -> str:
        """The link name in the archive."""
        return ""

    @property
    def rdev(self) -> tuple[int, int]:
        """Major and minor number of a device."""
        return 0, 0


@dataclass(frozen=True)
class File(Entry):
    """A regular file. Without content it holds its own name, so that no two files are alike."""

    typeflag = b"0"
    content: bytes | Hashed | None = None

    @property
    def data(self) -> bytes | Hashed:
        """The file's bytes, or what is known of them."""
        return os.fsencode(self.path) + b"\n" if self.content is None else self.content


@dataclass(frozen=True)
class Sparse(Entry):
    """A file of ``size`` bytes that is zero but for ``pieces``, in one of tar's four dialects.

    Each piece is its offset and bytes; all but the last must be whole blocks of 512 bytes, since
    readers differ in what they do between pieces that are not.
    """

    typeflag = b"0"
    size: int
    pieces: tuple[tuple[int, bytes], ...]
    dialect: Literal["gnu", "0.0", "0.1", "1.0"] = "1.0"

    @property
    def data(self) -> bytes:
        """The whole content."""
        whole = bytearray(self.size)
        for at, piece in self.pieces:
            whole[at : at + len(piece)] = piece
        return bytes(whole)


@dataclass(frozen=True)
class Dir(Entry):
    """A directory."""

    typeflag = b"5"
    mode: int = field(default=0o755, kw_only=True)

    @property
    def name(self) -> str:
        """The name in the archive, with the slash that tar ends directories with."""
        return self.path.rstrip("/") + "/"


@dataclass(frozen=True)
class Symlink(Entry):
    """A symbolic link that reads ``to``."""

    typeflag = b"2"
    to: str
    mode: int = field(default=0o777, kw_only=True)

    @property
    def link(self) -> str:
        """What it reads."""
        return self.to


@dataclass(frozen=True)
class Hardlink(Entry):
    """Another name of ``to``. It is written with the metadata of its target, as GNU tar does."""

    typeflag = b"1"
    to: str

    @property
    def link(self) -> str:
        """The other name."""
        return self.to


@dataclass(frozen=True)
class Fifo(Entry):
    """A named pipe."""

    typeflag = b"6"


@dataclass(frozen=True)
class _Device(Entry):
    major: int
    minor: int

    @property
    def rdev(self) -> tuple[int, int]:
        """Major and minor number."""
        return self.major, self.minor


@dataclass(frozen=True)
class CharDevice(_Device):
    """A character device."""

    typeflag = b"3"


@dataclass(frozen=True)
class BlockDevice(_Device):
    """A block device."""

    typeflag = b"4"


@dataclass(frozen=True)
class Whiteout(Entry):
    """Hides ``path`` of the layers below (image-spec layer.md, "Whiteouts")."""

    typeflag = b"0"

    @property
    def name(self) -> str:
        """The marker's name in the archive."""
        head, slash, base = self.path.rpartition("/")
        return f"{head}{slash}.wh.{base}"


@dataclass(frozen=True)
class Opaque(Entry):
    """Hides what the layers below have in directory ``path`` ("Opaque Whiteout")."""

    typeflag = b"0"

    @property
    def name(self) -> str:
        """The marker's name in the archive."""
        return ".wh..wh..opq" if self.path in {"", "."} else f"{self.path}/.wh..wh..opq"


@dataclass(frozen=True)
class Raw:
    """Bytes that go into the archive as they are. The model refuses to say what they mean."""

    data: bytes
