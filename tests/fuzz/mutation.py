"""Mutations that know what a tar is made of, so that they get behind the checksums.

Plain byte mutations of an archive are refused at the first checksum. These change fields, records
and the order of blocks, and then mend the checksums, most of the time. Deterministic for one seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

BLOCK: Final = 512
Mutator = Callable[[bytes, int], bytes]

_FIELDS: Final = {
    "name": (0, 100), "mode": (100, 8), "uid": (108, 8), "gid": (116, 8), "size": (124, 12),
    "mtime": (136, 12), "checksum": (148, 8), "flag": (156, 1), "link": (157, 100),
    "magic": (257, 8), "major": (329, 8), "minor": (337, 8), "prefix": (345, 155),
}  # fmt: skip
_NUMERIC: Final = {"mode", "uid", "gid", "size", "mtime", "major", "minor"}
_NUMBERS: Final = [
    b"", b"0", b"1", b"777", b"00000000000", b"77777777777", b"7777777", b"\x80", b"\xff" * 12,
    b"\x80" + b"\xff" * 11, b"\xff" * 8, b"\x80\0\0\0\0\0\0\x07", b" 12 ", b"8", b"-1", b"0x1",
    b"\x0012", b"1_0", b"\x80" + bytes(6) + b"\x01", b"1000", b"513", b"1777",
]  # fmt: skip
_NAMES: Final = [
    b"", b".", b"..", b"/", b"./", b"a", b"a/b", b"a//b", b"/a", b"../a", b"a/../b", b"a/", b"./a/",
    b".wh.a", b".wh..wh..opq", b"a/.wh.b", b".wh.", b".wh...", b"\xff\xfe", "ü".encode(), b"a\0b",
    b"n" * 100, b"a\nb", b"d/" * 40, b".wh." + b"w" * 90, b" ", b"a=b%",
]  # fmt: skip
_FLAGS: Final = [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"\0", b"x", b"g", b"L", b"K",
                 b"S", b"V", b"D", b"M", b"A"]  # fmt: skip
_MAGICS: Final = [b"ustar\x0000", b"ustar  \0", bytes(8), b"ustar\0\0\0"]
_KEYS: Final = [
    b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime", b"atime", b"hdrcharset", b"comment",
    b"SCHILY.xattr.user.a", b"SCHILY.xattr.security.capability", b"SCHILY.xattr.a%3Db",
    b"SCHILY.xattr.", b"LIBARCHIVE.xattr.user.b", b"LIBARCHIVE.xattr.user%2Ec",
    b"SCHILY.acl.access", b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.name",
    b"GNU.sparse.realsize", b"GNU.sparse.size", b"GNU.sparse.numblocks", b"GNU.sparse.offset",
    b"GNU.sparse.numbytes", b"GNU.sparse.map", b"GNU.volume.label",
]  # fmt: skip
_VALUES: Final = [
    b"", b"0", b"1", b"7", b"100", b"513", b"4000", b"-1", b"1.5", b"-1.5", b"1.0000000001",
    b"-0.0000000001", b"9223372036854775807", b"9223372036854775808", b"4294967294", b"4294967295",
    b"0,1", b"0,1,2,3", b"0,512,1024,1", b"BINARY", b"YQ", b"YQ==", b"a\0b", b"\xff", b"n" * 300,
    b"1e5", b" 1", b"+1", b"1_0", "٣".encode(),
]  # fmt: skip


def record(key: bytes, value: bytes) -> bytes:
    """One pax record, whose length counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def mended(archive: bytes) -> bytes:
    """The archive with the right checksum in every block that looks like a header."""
    blocks = bytearray(archive)
    for at in range(0, len(blocks) - BLOCK + 1, BLOCK):
        if blocks[at + 257 : at + 262] == b"ustar" or _like_v7(blocks[at : at + BLOCK]):
            blocks[at + 148 : at + 156] = b" " * 8
            blocks[at + 148 : at + 156] = b"%06o\0 " % sum(blocks[at : at + BLOCK])
    return bytes(blocks)


def _like_v7(block: bytearray) -> bool:
    """A name, an octal mode, and nothing where newer headers have more fields."""
    return bool(block[0]) and block[100:106].isdigit() and not any(block[257:500])


def mutated(data: bytes, size: int, seed: int, plainly: Mutator) -> bytes:
    """Return a mutation of at most ``size`` bytes; ``plainly`` is the usual one, of bytes."""
    drawn = random.Random(seed)
    if drawn.random() < 0.3:
        out = plainly(data, size)
    else:
        out = data
        for _ in range(drawn.choice([1, 1, 1, 2, 3])):
            out = drawn.choice(_MUTATIONS)(out, drawn)
    if drawn.random() < 0.9:
        out = mended(out)
    return out[:size]


def bytewise(drawn: random.Random) -> Mutator:
    """A plain mutation for where no fuzzing engine has one to lend."""

    def plainly(data: bytes, _size: int) -> bytes:
        changed = bytearray(data or b"\0")
        for _ in range(drawn.randint(1, 8)):
            changed[drawn.randrange(len(changed))] = drawn.randrange(256)
        return bytes(changed)

    return plainly


def _header_at(data: bytes, drawn: random.Random) -> int:
    headers = [at for at in range(0, len(data), BLOCK) if data[at + 257 : at + 262] == b"ustar"]
    return drawn.choice(headers or [0])


def _change_field(data: bytes, drawn: random.Random) -> bytes:
    name = drawn.choice(list(_FIELDS))
    start, width = _FIELDS[name]
    if name in _NUMERIC:
        value = drawn.choice([*_NUMBERS, b"%0*o" % (width - 1, drawn.getrandbits(3 * width - 3))])
    elif name in {"name", "link", "prefix"}:
        value = drawn.choice(_NAMES)
    else:
        value = drawn.choice({"flag": _FLAGS, "magic": _MAGICS}.get(name, _NUMBERS))
    at = _header_at(data, drawn) + start
    return data[:at] + value[:width].ljust(width, b"\0") + data[at + width :]


def _insert_pax(data: bytes, drawn: random.Random) -> bytes:
    body = b"".join(
        record(drawn.choice(_KEYS), drawn.choice([*_VALUES, *_NAMES]))
        for _ in range(drawn.randint(1, 4))
    )
    return _insert_before(data, drawn, drawn.choice([b"x", b"x", b"x", b"g"]), body)


def _insert_long(data: bytes, drawn: random.Random) -> bytes:
    name = drawn.choice([*_NAMES, b"l" * drawn.choice([1, 101, 255, 256, 300])])
    return _insert_before(data, drawn, drawn.choice([b"L", b"K"]), name + b"\0")


def _insert_before(data: bytes, drawn: random.Random, flag: bytes, body: bytes) -> bytes:
    block = bytearray(BLOCK)
    block[0:1] = b"e"
    block[100:107] = b"0000644"
    block[124:135] = b"%011o" % len(body)
    block[156:157] = flag
    block[257:265] = drawn.choice(_MAGICS[:2])
    at = _header_at(data, drawn)
    return data[:at] + bytes(block) + body + bytes(-len(body) % BLOCK) + data[at:]


def _sparse_map(data: bytes, drawn: random.Random) -> bytes:
    at = _header_at(data, drawn)
    block = bytearray(data[at : at + BLOCK].ljust(BLOCK, b"\0"))
    block[156:157], block[257:265] = b"S", _MAGICS[1]
    end = 0
    for entry in range(drawn.randint(0, 4)):
        start = end + drawn.choice([0, 0, 512, 1, -1])
        length = drawn.choice([0, 1, 512, 5])
        end = max(start, 0) + length
        block[386 + 24 * entry : 410 + 24 * entry] = b"%011o\0%011o\0" % (max(start, 0), length)
    block[482] = drawn.choice([0, 0, 1])
    block[483:495] = b"%011o\0" % (end + drawn.choice([0, 0, 7]))
    return data[:at] + bytes(block) + data[at + BLOCK :]


def _change_record(data: bytes, drawn: random.Random) -> bytes:
    """Replace a number or a name somewhere in the bodies, where the records are."""
    at = drawn.randrange(len(data) + 1)
    value = drawn.choice([*_VALUES, *_KEYS])
    return data[:at] + value + data[at + len(value) :]


def _move_blocks(data: bytes, drawn: random.Random) -> bytes:
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    if not blocks:
        return data
    taken = drawn.randrange(len(blocks))
    count = drawn.randint(1, 3)
    moved = blocks[taken : taken + count]
    if drawn.random() < 0.5:
        del blocks[taken : taken + count]
    to = drawn.randrange(len(blocks) + 1)
    return b"".join([*blocks[:to], *moved, *blocks[to:]])


def _cut(data: bytes, drawn: random.Random) -> bytes:
    return data[: drawn.randrange(len(data) + 1)]


_MUTATIONS: Final = [
    _change_field, _change_field, _change_field, _insert_pax, _insert_pax, _insert_long,
    _sparse_map, _change_record, _move_blocks, _move_blocks, _cut,
]  # fmt: skip
