"""Tar archives byte by byte, right or wrong, for the tests of the reader."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import settings

from layerfs.tarstream import Limits, Member, TarReader

#: For properties: the checkout may be another user's, and the machine busy.
PROPERTY = settings(database=None, deadline=None)

POSIX = b"ustar\x0000"
GNU = b"ustar  \0"
V7 = bytes(8)
END = bytes(1024)


def octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def base256(value: int, width: int) -> bytes:
    marker = b"\xff" if value < 0 else b"\x80"
    return marker + (value & ((1 << 8 * width - 8) - 1)).to_bytes(width - 1, "big")


def checked(block: bytes, *, signed: bool = False) -> bytes:
    """Put the right checksum in."""
    blank = block[:148] + b" " * 8 + block[156:]
    total = sum(byte - 256 if signed and byte > 127 else byte for byte in blank)
    return block[:148] + b"%06o\0 " % total + block[156:]


def header(name: bytes = b"file", flag: bytes = b"0", **fields: Any) -> bytes:
    """Return one header. A field is bytes, put in as they are, or an int for octal digits."""
    given = {
        "mode": 0o644,
        "uid": 0,
        "gid": 0,
        "size": 0,
        "mtime": 0,
        "linkname": b"",
        "magic": POSIX,
        "major": 0,
        "minor": 0,
        "prefix": b"",
        "tail": b"",
        **fields,
    }

    def numeric(key: str, width: int) -> bytes:
        value = given[key]
        return octal(value, width) if isinstance(value, int) else value.ljust(width, b"\0")

    block = b"".join([
        name.ljust(100, b"\0"),
        numeric("mode", 8),
        numeric("uid", 8),
        numeric("gid", 8),
        numeric("size", 12),
        numeric("mtime", 12),
        bytes(8),
        flag,
        given["linkname"].ljust(100, b"\0"),
        given["magic"],
        bytes(64),
        numeric("major", 8),
        numeric("minor", 8),
        given["prefix"].ljust(155, b"\0"),
        given["tail"].rjust(12, b"\0"),
    ])  # fmt: skip
    assert len(block) == 512
    return checked(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes = b"file", data: bytes = b"", flag: bytes = b"0", **fields: Any) -> bytes:
    return header(name, flag, **{"size": len(data), **fields}) + padded(data)


def record(keyword: bytes, value: bytes) -> bytes:
    """One pax record; its length counts its own digits."""
    rest = len(keyword) + len(value) + 3
    length = rest + 1
    while length != rest + len(str(length)):
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, keyword, value)


def pax(*records: tuple[bytes, bytes] | bytes, flag: bytes = b"x") -> bytes:
    """An extended header; bytes go in as they are."""
    body = b"".join(one if isinstance(one, bytes) else record(*one) for one in records)
    return member(b"PaxHeaders/x", body, flag)


def read(archive: bytes, limits: Limits | None = None) -> list[tuple[Member, bytes]]:
    """All members with their data."""
    reader = TarReader(io.BytesIO(archive), limits)
    return [(one, reader.read()) for one in reader]


def only(archive: bytes) -> Member:
    """Return the one member."""
    ((found, _),) = read(archive)
    return found


def old_sparse(*pairs: tuple[int, int], real: int, size: int) -> bytes:
    block = bytearray(header(b"s", b"S", size=size, magic=GNU))
    for at, (offset, length) in enumerate(pairs):
        block[386 + 24 * at : 410 + 24 * at] = octal(offset, 12) + octal(length, 12)
    block[483:495] = octal(real, 12)
    return checked(bytes(block)) + bytes(size + -size % 512)
