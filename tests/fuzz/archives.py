"""What must hold of any bytes that are read as a tar: the property of the target ``archive``.

Whatever comes in, only errors of layerfs come out; what is yielded is sane; how the source cuts the
bytes, and how much of the data is read, changes nothing; and what was accepted is, written by
`TarWriter` and read again, the same.
"""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from layerfs.errors import LayerFSError
from layerfs.tarstream import Limits, Member, TarReader
from layerfs.tarwrite import TarWriter

#: Small, so that a few KB of input can reach every one of them.
LIMITS: Final = Limits(
    max_members=40, max_header_bytes=2048, max_sparse_entries=12, max_file_bytes=1 << 20
)
#: limits.h, as Linux has them; a whiteout's prefix does not count.
_PATH_MAX, _NAME_MAX = 4095, 255
_KINDS: Final = {"file", "dir", "symlink", "hardlink", "fifo", "char", "block"}


class Source:
    """The bytes, in pieces of the sizes that ``sizes`` yields."""

    def __init__(self, data: bytes, sizes: Iterator[int]) -> None:
        self._data = io.BytesIO(data)
        self._sizes = sizes

    def read(self, n: int, /) -> bytes:
        return self._data.read(max(1, min(n, next(self._sizes))))


@dataclass
class Outcome:
    """What a reading gave: members, their data where it was read, and the error, if any."""

    members: list[Member] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    error: tuple[str, ...] | None = None
    offset: int = 0


def whole(reader: TarReader) -> bytes:
    return reader.read()


def pieces(reader: TarReader) -> bytes:
    parts = []
    while reader.remaining:
        parts += [reader.read(7), *(bytes(view) for view in reader.chunks(300))]
    return b"".join(parts)


def half(reader: TarReader) -> bytes:
    reader.read(reader.remaining // 2)
    return b""


def outcome(source: Source, limits: Limits, take: Callable[[TarReader], bytes] = whole) -> Outcome:
    """Read everything; an error that is not of layerfs passes through."""
    found = Outcome()
    reader = TarReader(source, limits)
    try:
        for member in reader:
            # A copy: whatever the reader still does to a member afterwards would be a fault.
            found.members.append(replace(member, xattrs=dict(member.xattrs)))
            found.data.append(take(reader))
            assert reader.remaining == 0 or take is half
    except LayerFSError as error:
        found.error = told(error)
    if found.error is not None:
        assert repeated(reader) == found.error, "after an error the reader says something else"
    found.offset = reader.offset
    return found


def told(error: LayerFSError) -> tuple[str, ...]:
    assert "\n" not in error.message
    return type(error).__name__, error.message, str(error.path), str(error.limit)


def repeated(reader: TarReader) -> tuple[str, ...] | None:
    try:
        next(reader)
    except LayerFSError as error:
        return told(error)
    except StopIteration:
        return None
    return ("a member",)


def forever(size: int) -> Iterator[int]:
    while True:
        yield size


def at_random(seed: int) -> Iterator[int]:
    drawn = random.Random(seed)
    while True:
        yield drawn.choice([1, 2, 100, 511, 512, 513, 1024, 4000])


def check(data: bytes) -> None:
    """Raise AssertionError, or whatever escapes, when the reader breaks a promise."""
    first = outcome(Source(data, forever(1 << 30)), LIMITS)
    for member, content in zip(first.members, first.data, strict=False):
        sane(member, content)
    if first.error is None:
        assert first.offset == len(data), "the archive was not read to its end"

    # Headers that are not whole in the reader's buffer cannot be read by any short cut.
    blocks = outcome(Source(data, forever(512)), LIMITS, pieces)
    assert (first.members, first.error) == (blocks.members, blocks.error)
    assert first.data == blocks.data
    skipped = outcome(Source(data, at_random(zlib.crc32(data))), LIMITS, half)
    assert (first.members, first.error) == (skipped.members, skipped.error)
    if first.error is None:
        again(first)


def sane(member: Member, data: bytes) -> None:
    assert member.kind in _KINDS
    clean(member.name, root=member.kind == "dir")
    assert 0 <= member.mode <= 0o7777
    assert 0 <= member.uid < 2**32 - 1
    assert 0 <= member.gid < 2**32 - 1
    assert -(2**63) <= member.mtime_ns // 10**9 < 2**63
    assert len(data) == member.stored_size
    for name, value in member.xattrs.items():
        assert 0 < len(name) <= 255
        assert b"\0" not in name
        assert len(value) <= 65536
    if member.kind == "file":
        runs = [(0, member.size)] if member.sparse is None else member.sparse
        ends = [0, *(offset + length for offset, length in runs)]
        assert all(end <= offset for end, (offset, _) in zip(ends, runs, strict=False))
        assert ends[-1] <= member.size <= LIMITS.max_file_bytes
        assert sum(length for _, length in runs) == member.stored_size
    else:
        assert (member.size, member.stored_size, member.sparse) == (0, 0, None)
    if member.kind in {"char", "block"}:
        assert 0 <= member.rdev[0] <= 0xFFF
        assert 0 <= member.rdev[1] <= 0xFFFFF
    else:
        assert member.rdev == (0, 0)
    if member.kind == "hardlink":
        clean(member.linkname, root=True)
    elif member.kind == "symlink":
        assert 0 < len(member.linkname) <= _PATH_MAX
        assert b"\0" not in member.linkname
    else:
        assert member.linkname == b""


def clean(name: bytes, *, root: bool) -> None:
    """A name relative to the root, which it cannot leave."""
    assert len(name) <= _PATH_MAX
    assert b"\0" not in name
    parts = name.split(b"/")
    if parts == [b"."]:
        assert root, "the layer's root as something else than a directory"
        return
    assert not {b"", b".", b".."} & set(parts), name
    assert all(len(part.removeprefix(b".wh.")) <= _NAME_MAX for part in parts)


def dense(member: Member, data: bytes) -> bytes:
    """The file's content, holes written out."""
    content = bytearray(member.size)
    at = 0
    for offset, length in [(0, member.size)] if member.sparse is None else member.sparse:
        content[offset : offset + length] = data[at : at + length]
        at += length
    return bytes(content)


def written(members: list[Member], contents: list[bytes]) -> bytes:
    sink = io.BytesIO()
    writer = TarWriter(sink)
    for member, content in zip(members, contents, strict=True):
        writer.add(member, content if member.kind == "file" else None)
    writer.close()
    return sink.getvalue()


def again(first: Outcome) -> None:
    """Write what was read, and read it: the same, and written once more the same bytes."""
    contents = [dense(one, data) for one, data in zip(first.members, first.data, strict=True)]
    members = [replace(one, sparse=None, stored_size=one.size) for one in first.members]
    archive = written(members, contents)
    second = outcome(Source(archive, forever(1 << 30)), Limits())
    assert second.error is None, f"what was written is refused: {second.error}"
    assert second.members == members
    assert second.data == contents
    assert written(second.members, second.data) == archive
