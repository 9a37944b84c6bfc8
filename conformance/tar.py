"""Tar headers by hand: ustar, GNU and pax, so that any archive can be written, valid or hostile.

Nothing here checks what it is asked to write, beyond whether the format can express it (ValueError
where it cannot). Nothing here does I/O. Source: POSIX.1-2017 pax, "ustar Interchange Format" and
"pax Extended Header"; the GNU tar manual, "Basic Tar Format" and "Storing Sparse Files".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

Format = Literal["pax", "gnu", "ustar"]
Records = Sequence[tuple[bytes, bytes]]

BLOCK: Final = 512
#: Two blocks of zeros: the end of an archive.
END: Final = bytes(2 * BLOCK)

#: Offset and width of each field of a header.
FIELDS: Final[Mapping[str, tuple[int, int]]] = {
    "name": (0, 100),
    "mode": (100, 8),
    "uid": (108, 8),
    "gid": (116, 8),
    "size": (124, 12),
    "mtime": (136, 12),
    "checksum": (148, 8),
    "typeflag": (156, 1),
    "linkname": (157, 100),
    "magic": (257, 8),
    "major": (329, 8),
    "minor": (337, 8),
    "prefix": (345, 155),
}

_MAGIC: Final = {"pax": b"ustar\x0000", "ustar": b"ustar\x0000", "gnu": b"ustar  \x00"}
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Header:
    """What one member's header says. ``size`` is that of the data stored after it."""

    name: bytes
    typeflag: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    linkname: bytes = b""
    rdev: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    records: Records = ()  #: further pax records, as they are


def padded(data: bytes) -> bytes:
    """Fill ``data`` with zeros to a whole number of blocks."""
    return data + bytes(-len(data) % BLOCK)


def encode(header: Header, form: Format) -> bytes:
    """Return the header blocks of one member, with the extended ones that it needs before it.

    Raises ValueError for what ``form`` cannot express.
    """
    if form == "gnu":
        return _gnu(header)
    if form == "ustar":
        name, prefix = _split(header.name)
        _refuse(header.records or header.xattrs, "records in ustar")
        _refuse(len(header.linkname) > 100, "a long link name in ustar")
        return _block(header, name, header.linkname, form, prefix=prefix)
    records = [*_records(header), *header.records]
    extended = pax(records) if records else b""
    plain = Header(
        header.name,
        header.typeflag,
        mode=header.mode,
        uid=_clipped(header.uid, 7),
        gid=_clipped(header.gid, 7),
        size=_clipped(header.size, 11),
        mtime_ns=_clipped(header.mtime_ns // _NS, 11) * _NS,
        rdev=header.rdev,
    )
    return extended + _block(plain, header.name[:100], header.linkname[:100], form)


def pax(records: Records, typeflag: bytes = b"x") -> bytes:
    """Return an extended header member, with ``g`` for its type a global one."""
    body = b"".join(record(key, value) for key, value in records)
    header = Header(b"PaxHeaders/entry", typeflag, size=len(body))
    return _block(header, header.name, b"", "pax") + padded(body)


def record(key: bytes, value: bytes) -> bytes:
    """Return one pax record, whose decimal length counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def edit(archive: bytes, name: str, value: bytes, *, at: int = 0, seal: bool = True) -> bytes:
    """Overwrite one field of the header at offset ``at``; ``seal`` makes the checksum right."""
    offset, width = FIELDS[name]
    _refuse(len(value) > width, f"{name} of {len(value)} bytes")
    block = bytearray(archive[at : at + BLOCK])
    block[offset : offset + width] = value.ljust(width, b"\0")
    return archive[:at] + (_sealed(block) if seal else bytes(block)) + archive[at + BLOCK :]


def gnu_sparse(header: Header, size: int, pieces: Sequence[tuple[int, int]]) -> bytes:
    """Return the old GNU sparse header (type ``S``) with as many extension blocks as needed."""
    block = bytearray(_block(header, header.name, b"", "gnu"))
    maps = [_number(at, 12, "gnu") + _number(length, 12, "gnu") for at, length in pieces]
    first, rest = maps[:4], maps[4:]
    block[386 : 386 + 24 * len(first)] = b"".join(first)
    block[482] = bool(rest)
    block[483:495] = _number(size, 12, "gnu")
    out = _sealed(block)
    while rest:
        now, rest = rest[:21], rest[21:]
        out += b"".join(now).ljust(504, b"\0") + bytes([bool(rest)]) + bytes(7)
    return out


def sparse_records(
    dialect: Literal["0.0", "0.1", "1.0"], name: bytes, size: int, pieces: Sequence[tuple[int, int]]
) -> tuple[Records, bytes]:
    """Return the pax records of a sparse file, and what 1.0 puts before its data."""
    if dialect == "1.0":
        numbers = [len(pieces), *(number for piece in pieces for number in piece)]
        return [
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", name),
            (b"GNU.sparse.realsize", b"%d" % size),
        ], padded(b"".join(b"%d\n" % number for number in numbers))
    head = [(b"GNU.sparse.size", b"%d" % size), (b"GNU.sparse.numblocks", b"%d" % len(pieces))]
    if dialect == "0.0":
        for at, length in pieces:
            head += [(b"GNU.sparse.offset", b"%d" % at), (b"GNU.sparse.numbytes", b"%d" % length)]
        return head, b""
    flat = b",".join(b"%d,%d" % piece for piece in pieces)
    return [*head, (b"GNU.sparse.name", name), (b"GNU.sparse.map", flat)], b""


def _refuse(condition: object, what: str) -> None:
    if condition:
        raise ValueError(f"the format cannot express {what}")


def _clipped(number: int, digits: int) -> int:
    """Return 0 for a number that octal digits cannot hold: a pax record then says it."""
    return number if 0 <= number < 8**digits else 0


def _records(header: Header) -> Iterable[tuple[bytes, bytes]]:
    if len(header.name) > 100:
        yield b"path", header.name
    if len(header.linkname) > 100:
        yield b"linkpath", header.linkname
    for key, number in ((b"uid", header.uid), (b"gid", header.gid)):
        if number != _clipped(number, 7):
            yield key, b"%d" % number
    if header.size != _clipped(header.size, 11):
        yield b"size", b"%d" % header.size
    seconds, fraction = divmod(header.mtime_ns, _NS)
    if fraction or seconds != _clipped(seconds, 11):
        yield b"mtime", _decimal(header.mtime_ns)
    for name, value in sorted(header.xattrs.items()):
        yield b"SCHILY.xattr." + name.encode(), value


def _decimal(nanoseconds: int) -> bytes:
    sign = b"-" if nanoseconds < 0 else b""
    seconds, fraction = divmod(abs(nanoseconds), _NS)
    return sign + b"%d.%09d" % (seconds, fraction)


def _gnu(header: Header) -> bytes:
    _refuse(header.records or header.xattrs, "records in GNU format")
    out = b""
    for flag, text in ((b"K", header.linkname), (b"L", header.name)):
        if len(text) > 100:
            long = Header(b"././@LongLink", flag, size=len(text) + 1)
            out += _block(long, long.name, b"", "gnu") + padded(text + b"\0")
    return out + _block(header, header.name[:100], header.linkname[:100], "gnu")


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Split a name into ustar's name (100 bytes) and prefix (155)."""
    if len(name) <= 100:
        return name, b""
    cut = name.rfind(b"/", 0, 156)
    _refuse(cut < 0 or len(name) - cut - 1 > 100, f"a name of {len(name)} bytes in ustar")
    return name[cut + 1 :], name[:cut]


def _number(value: int, width: int, form: Format) -> bytes:
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    _refuse(form != "gnu", f"the number {value}")
    return bytes([0x80 if value >= 0 else 0xFF]) + value.to_bytes(width - 1, "big", signed=True)


def _block(
    header: Header, name: bytes, linkname: bytes, form: Format, *, prefix: bytes = b""
) -> bytes:
    seconds, fraction = divmod(header.mtime_ns, _NS)
    _refuse(fraction, f"a fraction of a second in {form} without a record")
    block = bytearray(BLOCK)

    def put(field_name: str, value: bytes) -> None:
        offset, _ = FIELDS[field_name]
        block[offset : offset + len(value)] = value

    put("name", name)
    put("mode", _number(header.mode, 8, form))
    put("uid", _number(header.uid, 8, form))
    put("gid", _number(header.gid, 8, form))
    put("size", _number(header.size, 12, form))
    put("mtime", _number(seconds, 12, form))
    put("typeflag", header.typeflag)
    put("linkname", linkname)
    put("magic", _MAGIC[form])
    put("major", _number(header.rdev[0], 8, form))
    put("minor", _number(header.rdev[1], 8, form))
    put("prefix", prefix)
    return _sealed(block)


def _sealed(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
