"""Write a layer's tar: the same members give the same bytes, always.

Each member is a POSIX ustar header (IEEE Std 1003.1, "pax Interchange Format"). An extended (PAX)
header goes before it only for what ustar cannot say: long or non-ASCII names, ids above 2097151,
sizes of 8 GiB and more, times below a second, before 1970 or after 2242, and extended attributes
(``SCHILY.xattr.*``, sorted). Names that are not UTF-8 are written as they are, under
``hdrcharset=BINARY``. User and group names are never written.

This module reads from descriptors that it is handed, opens nothing, and writes only to the sink. It
writes no sparse members: holes are written out as zeros.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Final
from zlib import adler32

from layerfs.errors import from_os_error

if TYPE_CHECKING:
    from layerfs.backends import Sink
    from layerfs.tarstream import Member

BLOCK: Final = 512

#: name, "mode uid gid size mtime", checksum, typeflag, linkname, magic and version, (user and group
#: name), device numbers, prefix
_HEADER: Final = struct.Struct("100s48s8s1s100s8s64x16s155s12x")
_NUMBERS: Final = b"%07o\0%07o\0%07o\0%011o\0%011o\0"
_MAGIC: Final = b"ustar\x0000"
_NO_DEVICE: Final = b"0000000\x000000000\0"
_ZEROS: Final = bytes(BLOCK)

_MAX_ID: Final = 0o7777777
_MAX_LONG: Final = 0o77777777777  #: size and mtime: eleven octal digits
_BILLION: Final = 1_000_000_000

_TYPES: Final = {
    "file": b"0",
    "hardlink": b"1",
    "symlink": b"2",
    "char": b"3",
    "block": b"4",
    "dir": b"5",
    "fifo": b"6",
}
_LINKS: Final = frozenset({"hardlink", "symlink"})
_DEVICES: Final = frozenset({"char", "block"})

#: Small pieces are gathered to about this many bytes before the sink sees them.
_GATHER: Final = 256 * 1024
#: Large contents go to the sink in pieces of this many bytes.
_PIECE: Final = 1024 * 1024


class TarWriter:
    """Writes members, in the order in which they come, to ``sink``; ``close`` ends the archive.

    After an error the archive is incomplete, and whoever owns the sink throws it away. Errors of
    the sink are passed on as they are.
    """

    def __init__(self, sink: Sink) -> None:
        self._write = sink.write
        self._pending: list[bytes] = []
        self._held = 0

    def add(self, member: Member, source: int | bytes | None = None) -> None:
        """Write one member; ``source`` is the content of a regular file: bytes or a descriptor.

        Exactly ``member.size`` bytes are written. A file that has shrunk since it was measured is
        filled up with zeros, as GNU tar does, and what it has grown by is left out: neither is an
        error, since a view may be committed while its programs write. A descriptor is read from
        where it stands, and stays open. Raises StorageError if it cannot be read.
        """
        kind = member.kind
        size = member.size if kind == "file" else 0
        name = member.name
        if kind == "dir":
            name = b"./" if name == b"." else name + b"/"
        linkname = member.linkname if kind in _LINKS else b""

        prefix = b""
        extended = []
        if len(name) > 100 or not name.isascii():
            split = _split(name)
            if split is None:
                extended.append((b"path", name))
            else:
                prefix, name = split
        if len(linkname) > 100 or not linkname.isascii():
            extended.append((b"linkpath", linkname))
        extended += _too_much_for_ustar(member, size)
        if extended:
            self._extended_header(extended)

        numbers = _NUMBERS % (
            member.mode & 0o7777,
            member.uid if member.uid <= _MAX_ID else 0,
            member.gid if member.gid <= _MAX_ID else 0,
            size if size <= _MAX_LONG else 0,
            min(max(member.mtime_ns // _BILLION, 0), _MAX_LONG),
        )
        device = b"%07o\0%07o\0" % member.rdev if kind in _DEVICES else _NO_DEVICE
        self._put(_header(_TYPES[kind], numbers, name[:100], linkname[:100], (device, prefix)))
        if not size:
            return
        if isinstance(source, int):
            self._copy(source, size, member.name)
        else:
            self._put((source or b"")[:size].ljust(size, b"\0"))
        if padding := -size % BLOCK:
            self._put(_ZEROS[:padding])

    def close(self) -> None:
        """End the archive with two blocks of zeros, and hand all of it to the sink.

        The sink stays open. There is no padding to a record: it would only be stored.
        """
        self._put(bytes(2 * BLOCK))
        self._flush()

    def _put(self, data: bytes) -> None:
        if len(data) >= _GATHER:  # to copy it together with others would only cost
            self._flush()
            self._write(data)
            return
        self._pending.append(data)
        self._held += len(data)
        if self._held >= _GATHER:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._write(b"".join(self._pending))
            self._pending = []
            self._held = 0

    def _copy(self, fd: int, size: int, name: bytes) -> None:
        left = size
        while left:
            try:
                data = os.read(fd, min(left, _PIECE))
            except OSError as error:
                raise from_os_error(error, "reading", name) from error
            if not data:
                break
            left -= len(data)
            self._put(data)
        while left:
            zeros = bytes(min(left, _PIECE))
            left -= len(zeros)
            self._put(zeros)

    def _extended_header(self, extended: list[tuple[bytes, bytes]]) -> None:
        if any(key in {b"path", b"linkpath"} and not _is_utf8(value) for key, value in extended):
            # POSIX: without it, path and linkpath are UTF-8.
            extended = [(b"hdrcharset", b"BINARY"), *extended]
        body = b"".join(_record(key, value) for key, value in extended)
        numbers = _NUMBERS % (0o644, 0, 0, len(body), 0)
        self._put(_header(b"x", numbers, b"././@PaxHeader", b"", (_NO_DEVICE, b"")))
        self._put(body)
        self._put(_ZEROS[: -len(body) % BLOCK])


def _header(
    typeflag: bytes, numbers: bytes, name: bytes, linkname: bytes, rest: tuple[bytes, bytes]
) -> bytes:
    """Return a block of 512 bytes; ``rest`` is the device numbers and the name's prefix."""
    device, prefix = rest
    block = _HEADER.pack(name, numbers, b"        ", typeflag, linkname, _MAGIC, device, prefix)
    # The low half of Adler-32 is 1 and the sum of the bytes, modulo 65521 (RFC 1950, 8.2), which
    # 512 bytes below 128 do not reach: many times faster than to add them up.
    ascii_only = name.isascii() and linkname.isascii()
    checksum = (adler32(block) & 0xFFFF) - 1 if ascii_only else sum(block)
    return b"%b%06o\0 %b" % (block[:148], checksum, block[156:])


def _too_much_for_ustar(member: Member, size: int) -> list[tuple[bytes, bytes]]:
    extended = []
    if member.uid > _MAX_ID:
        extended.append((b"uid", b"%d" % member.uid))
    if member.gid > _MAX_ID:
        extended.append((b"gid", b"%d" % member.gid))
    if size > _MAX_LONG:
        extended.append((b"size", b"%d" % size))
    seconds, fraction = divmod(member.mtime_ns, _BILLION)
    if fraction or not 0 <= seconds <= _MAX_LONG:
        extended.append((b"mtime", _decimal(member.mtime_ns)))
    if member.xattrs:
        extended += [
            (b"SCHILY.xattr." + _escaped(key), value)
            for key, value in sorted(member.xattrs.items())
        ]
    return extended


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Split an ASCII name at a slash: at most 155 bytes, and a rest of 1 to 100; None if not."""
    if not name.isascii():
        return None
    at = name.find(b"/", max(1, len(name) - 101))
    if at == -1 or at > 155 or at == len(name) - 1:
        return None
    return name[:at], name[at + 1 :]


def _record(key: bytes, value: bytes) -> bytes:
    """Return a line "<length> <key>=<value>", whose length counts itself and the newline."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def _decimal(nanoseconds: int) -> bytes:
    """Return seconds in decimal, without trailing zeros: "-0.5", "12", "3.000000001"."""
    seconds, fraction = divmod(abs(nanoseconds), _BILLION)
    sign = b"-" if nanoseconds < 0 else b""
    if not fraction:
        return b"%b%d" % (sign, seconds)
    return sign + (b"%d.%09d" % (seconds, fraction)).rstrip(b"0")


def _escaped(key: bytes) -> bytes:
    """Write an attribute's name as GNU tar does: a keyword ends at the first "="."""
    return key.replace(b"%", b"%25").replace(b"=", b"%3D")


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
