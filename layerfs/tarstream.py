"""Read a tar stream, member by member, strictly. No I/O of its own: it reads from a `Source`.

Understood: POSIX ustar and PAX, GNU (long names, base-256 numbers, all four sparse formats), star's
prefix, and V7 with directories marked by a trailing slash. Names come out normalised below the
layer's root. Nothing is guessed: damage raises ValidationError, which says at which offset of the
uncompressed archive and what was found, and so does any place where the tar readers of the field
disagree on what an archive holds. After an error the reader only repeats it.

The end: two zero blocks, one, or the stream's end exactly after a member. What follows is read to
the end of the source, since it is part of the diffID, and must be zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from layerfs import paxrecords, tarsparse
from layerfs.errors import InvalidLayerPathError, LayerFSError, LimitExceededError, ValidationError
from layerfs.limits import Limits
from layerfs.paxrecords import Pax
from layerfs.tarblocks import CHUNK, BlockStream, Source
from layerfs.tarfields import (
    BLOCK,
    GNU_MAGIC,
    HEADER,
    PLAIN,
    POSIX_MAGIC,
    ZERO_BLOCK,
    Damage,
    check_owner,
    check_sum,
    clean_name,
    clean_target,
    is_header,
    number,
    owner_fields,
    path_too_long,
    positive,
    text,
    with_prefix,
)
from layerfs.tarmember import Extensions, Kind, Member, override

__all__ = ["CHUNK", "Kind", "Limits", "Member", "Source", "TarReader"]

_KINDS: Final[dict[bytes, Kind]] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",  # contiguous
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "char",
    b"4": "block",
    b"5": "dir",
    b"6": "fifo",
    b"S": "file",  # GNU sparse
}
_PLAIN_KINDS: Final[dict[bytes, Kind]] = {b"0": "file", b"2": "symlink", b"5": "dir"}
_SLASH: Final = ord("/")
#: Times are 64-bit seconds.
_SECONDS: Final = 2**63
#: linux/kdev_t.h: 12 bits of major, 20 of minor.
_MAJOR_MAX: Final = 0xFFF
_MINOR_MAX: Final = 0xFFFFF

_Fields = tuple[bytes, ...]


class TarReader(BlockStream):
    """Iterate over the members; between two steps, read the current member's data.

    What was not read of it is skipped. Only the end of the iteration proves the archive whole.
    """

    #: Whether there is much of it, as far as is known beforehand.
    is_large = False

    def __init__(self, source: Source, limits: Limits | None = None) -> None:
        super().__init__(source)
        self.limits = limits or Limits()
        self._members = 0
        self._apparent = 0  # bytes of the sparse files so far, holes included
        self._start = 0  # the offset of the header at hand, for errors
        self._globals: dict[bytes, bytes] = {}
        self._global_pax: Pax | None = None
        self._ended = False
        self._error: LayerFSError | None = None

    def __iter__(self) -> Iterator[Member]:
        return self

    def __next__(self) -> Member:
        if self._error is not None:
            raise self._error
        if self._ended:
            raise StopIteration
        try:
            member = self._next()
        except Damage as damage:
            where = f", {self._name[:255]!r}" if self._name else ""
            text = f"tar header at offset {self._start}{where}: {damage}"
            self._error = ValidationError(text)
            raise self._error from None
        except LayerFSError as error:
            self._error = error
            raise
        if member is None:
            self._ended = True
            raise StopIteration
        return member

    def _next(self) -> Member | None:
        at = self._at + self._left + self._gap
        if at <= len(self._buffer):
            self._at = at
        else:
            self._skip(self._left + self._gap)
        self._left = self._gap = 0
        self._name = b""
        self._start = self._base + self._at
        if self._global_pax is None and (plain := self._plain()) is not None:
            return plain
        extensions = Extensions()
        while (block := self._block()) is not None:
            fields: _Fields = HEADER.unpack(block)
            check_sum(block, fields[6])
            if fields[7] in _KINDS:
                return self._member(block, fields, extensions)
            self._extend(fields, extensions)
            self._start = self.offset
            if extensions.light() and (plain := self._plain()) is not None:
                override(plain, extensions.pax, extensions)
                return plain
        self._end(extensions)
        return None

    def _plain(self) -> Member | None:
        """Take a header of the commonest kind; None, and nothing taken, when it is any other.

        Most members of most layers come this way, so it does nothing that they do not need. It
        finds what `_member` would, global and `Extensions.light` ones not regarded.
        """
        start = self._at
        end = start + BLOCK
        if end > len(self._buffer):
            return None
        block = self._buffer[start:end]
        raw, owner, size_field, mtime, checksum, flag, link, magic, prefix = PLAIN.unpack(block)
        kind = _PLAIN_KINDS.get(flag)
        if kind is None or (magic != GNU_MAGIC and (magic != POSIX_MAGIC or prefix != b"\0")):
            return None
        try:
            check_sum(block, checksum)
            raw = raw.partition(b"\0")[0]
            mode, uid, gid = owner_fields(owner)
            name, size, seconds = clean_name(raw), number(size_field), number(mtime)
            target = clean_target(text(link)) if kind == "symlink" else b""
        except (Damage, InvalidLayerPathError):
            return None  # of several faults, `_member` tells always the same
        if (
            not 0 <= size <= self.limits.max_file_bytes
            or not -_SECONDS <= seconds < _SECONDS
            or (kind != "dir" and (name == b"." or raw[-1] == _SLASH))
            or self._members >= self.limits.max_members
        ):
            return None
        self._members += 1
        self._at = end
        self._name = raw
        member = Member(name, kind, mode, uid, gid, seconds * 1_000_000_000)
        if kind == "file":
            member.size = member.stored_size = self._left = size
            self._gap = -size % BLOCK
        elif kind == "symlink":
            member.linkname = target
        return member

    def _block(self) -> bytes | None:
        """Take the next header; None at the end of the archive."""
        have = self._ensure(BLOCK)
        if have < BLOCK:
            if have:
                raise Damage(f"cut short, {have} bytes instead of {BLOCK}")
            if not self.offset:
                raise Damage("the stream is empty, not a tar archive")
            return None
        at = self._at
        self._at = at + BLOCK
        block = self._buffer[at : at + BLOCK]
        # The commonest mistake is a wrong media type: say so.
        if block.startswith((b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")) and not is_header(block):
            raise Damage("these are compressed data, not a tar archive")
        return None if block == ZERO_BLOCK else block

    def _end(self, extensions: Extensions) -> None:
        if extensions.given():
            raise Damage("the archive ends after an extended header, without its member")
        while have := self._ensure(1):
            rest = self._buffer[self._at :]
            if rest != bytes(have):
                offset = self.offset + have - len(rest.lstrip(b"\0"))
                raise Damage(f"the archive ends here, but offset {offset} is not zero")
            self._at += have

    # --- extended headers ------------------------------------------------------------------------

    def _extend(self, fields: _Fields, extensions: Extensions) -> None:
        """Read the extended header that ``fields`` announce into ``extensions``.

        The same kind twice for one member is refused: readers disagree on which of them counts.
        """
        flag = fields[7]
        if flag == b"x":
            if extensions.pax is not None:
                raise Damage("a second extended header for one member")
            records = paxrecords.split(self._body(fields))
            extensions.pax = paxrecords.interpret([*self._globals.items(), *records], self.limits)
        elif flag == b"g":
            self._add_globals(paxrecords.keep_global(paxrecords.split(self._body(fields))))
        elif flag == b"L":
            if extensions.name is not None:
                raise Damage("a second long name for one member")
            extensions.name = self._long_name(fields)
        elif flag == b"K":
            if extensions.linkname is not None:
                raise Damage("a second long link name for one member")
            extensions.linkname = self._long_name(fields)
        else:
            raise Damage(f"unknown type flag {flag!r} of {text(fields[0])!r}")

    def _body(self, fields: _Fields) -> bytes:
        size = positive(fields[4], "size")
        most = self.limits.max_header_bytes
        if size > most:
            raise LimitExceededError(
                f"the layer has an extended header of {size} bytes at offset {self.offset - BLOCK}",
                limit=f"max_header_bytes={most}",
            )
        return self._take(tarsparse.padded(size))[:size]

    def _long_name(self, fields: _Fields) -> bytes:
        name, _, rest = self._body(fields).partition(b"\0")
        if rest.strip(b"\0"):
            raise Damage(f"a NUL within the long name {name[:255]!r}")
        return name

    def _add_globals(self, records: list[paxrecords.Record]) -> None:
        self._globals.update(records)
        most = self.limits.max_global_bytes
        if sum(len(key) + len(value) for key, value in self._globals.items()) > most:
            raise LimitExceededError(
                "the layer's global headers are too large together",
                limit=f"max_global_bytes={most}",
            )
        self._global_pax = paxrecords.interpret(self._globals.items(), self.limits)

    # --- members ---------------------------------------------------------------------------------

    def _member(self, block: bytes, fields: _Fields, extensions: Extensions) -> Member:
        raw, mode, uid, gid, size, mtime, _, flag, link, magic, major, minor, prefix = fields
        self._members += 1
        if self._members > self.limits.max_members:
            raise LimitExceededError(
                f"the layer has more than {self.limits.max_members} entries",
                limit=f"max_members={self.limits.max_members}",
            )
        raw, link = text(raw), text(link)
        if prefix[0] and magic == POSIX_MAGIC:
            raw = with_prefix(block, raw)
        member = Member(
            raw,
            _KINDS[flag],
            positive(mode, "mode") & 0o7777,
            number(uid),
            number(gid),
            number(mtime) * 1_000_000_000,
            positive(size, "size"),
            link,
        )
        pax = extensions.pax or self._global_pax
        if pax is not None or extensions.given():
            override(member, pax, extensions)
        self._name = member.name
        check_owner(member.uid, member.gid)
        if not -_SECONDS <= member.mtime_ns // 1_000_000_000 < _SECONDS:
            raise Damage("the time does not fit 64 bits")
        # V7 had no type for directories, and wrote a slash behind their names.
        if member.kind == "file" and member.name.endswith(b"/"):
            if member.size:
                raise Damage("a directory, by its trailing slash, with data")
            member.kind = "dir"
        if member.kind == "file":
            self._file(member, block, fields, pax)
        else:
            self._other(member, major, minor, has_pax=extensions.pax is not None)
        member.name = clean_name(member.name)
        # `_plain` need not look: its names have 100 bytes at most.
        for path in (member.name, member.linkname if member.kind == "hardlink" else b""):
            if len(path) > self.limits.max_path_bytes:
                raise path_too_long(path, self.limits.max_path_bytes)
        if member.name == b"." and member.kind != "dir":
            raise InvalidLayerPathError(f"the layer's root cannot be a {member.kind}", path=b".")
        return member

    def _file(self, member: Member, block: bytes, fields: _Fields, pax: Pax | None) -> None:
        """Set up the data that follow, and what is known of a sparse file."""
        stored = member.size
        member.linkname = b""
        most = self.limits.max_sparse_entries
        entries: tarsparse.Map | None = None
        if fields[7] == b"S":
            if fields[9] != GNU_MAGIC:
                raise Damage("a sparse file in an archive that is not GNU's")
            entries, member.size = tarsparse.old_gnu(block, lambda: self._take(BLOCK), most)
        elif pax is not None and pax.sparse:
            sparse = tarsparse.from_pax(pax.sparse, most)
            member.name = sparse.name or member.name
            member.size = sparse.real_size
            entries = sparse.map
            if entries is None:
                before = self.offset
                entries = tarsparse.leading_map(lambda: self._map_block(before, stored), most)
                stored -= self.offset - before
        if entries is not None:
            member.sparse = tarsparse.checked(entries, member.size, stored)
            self._apparent += member.size
            if self._apparent > self.limits.max_apparent_bytes:
                raise LimitExceededError(
                    f"the layer's sparse files have {self._apparent} bytes together",
                    path=member.name,
                    limit=f"max_apparent_bytes={self.limits.max_apparent_bytes}",
                )
        if member.size > self.limits.max_file_bytes:
            raise LimitExceededError(
                f"{member.name[:255]!r} has {member.size} bytes",
                path=member.name,
                limit=f"max_file_bytes={self.limits.max_file_bytes}",
            )
        member.stored_size = self._left = stored
        self._gap = -stored % BLOCK

    def _map_block(self, before: int, stored: int) -> bytes:
        if self.offset + BLOCK - before > stored:
            raise Damage("the sparse map is longer than the data that hold it")
        return self._take(BLOCK)

    def _other(self, member: Member, major: bytes, minor: bytes, *, has_pax: bool) -> None:
        """Finish an entry without content of its own, whose size field means nothing."""
        if member.kind == "symlink":
            member.linkname = clean_target(member.linkname)
        elif member.kind == "hardlink":
            member.linkname = clean_name(member.linkname)
            self._gap = self._link_data(member.size, has_pax=has_pax)
        elif member.kind in {"char", "block"}:
            member.linkname = b""
            member.rdev = number(major), number(minor)
            if not (0 <= member.rdev[0] <= _MAJOR_MAX and 0 <= member.rdev[1] <= _MINOR_MAX):
                raise Damage(f"{member.rdev[0]}:{member.rdev[1]} is no device number of Linux")
        else:
            member.linkname = b""
        member.size = 0

    def _link_data(self, size: int, *, has_pax: bool) -> int:
        """Return how many bytes of data, which repeat the target's, follow a hardlink.

        POSIX.1-1988 said that the size is to be ignored, POSIX.1-2001 that data follow; only the
        next block can tell. Where a pax writer's data would look like a header it stays open.
        """
        if not size:
            return 0
        peek = self._buffer[self._at : self._at + BLOCK] if self._ensure(BLOCK) else ZERO_BLOCK
        if peek != ZERO_BLOCK and not is_header(peek):
            return tarsparse.padded(size)
        if has_pax:
            raise Damage(f"a hardlink of {size} bytes, which may or may not follow it")
        return 0
