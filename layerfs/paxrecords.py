"""PAX extended header records: their framing, and the meaning of those that we honour. No I/O.

Sources: POSIX.1-2017 pax, "pax Extended Header"; star(5) for ``SCHILY.xattr.``; libarchive's
tar(5) for ``LIBARCHIVE.xattr.``; the GNU tar manual, "Storing Sparse Files", for ``GNU.sparse.``.

Honoured: path, linkpath, size, uid, gid, mtime, hdrcharset, and the extended attributes. Everything
else (atime, ctime, uname, comment, SCHILY.acl.*, vendors' own) is ignored: a layer has no place
for it. Strings are kept as bytes whatever their charset.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from layerfs.errors import LimitExceededError
from layerfs.limits import Limits
from layerfs.tarfields import Damage

Record = tuple[bytes, bytes]

_SCHILY: Final = b"SCHILY.xattr."
_LIBARCHIVE: Final = b"LIBARCHIVE.xattr."
_SPARSE: Final = b"GNU.sparse."
#: Said of all members at once, these could only make every member the same file.
_NEVER_GLOBAL: Final = (b"path", b"linkpath", b"size", _SPARSE)
_CHARSETS: Final = {b"", b"BINARY", b"ISO-IR 10646 2000 UTF-8"}
_TIME: Final = re.compile(rb"(-?)([0-9]{1,20})(?:\.([0-9]*))?")
_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_LENGTH_DIGITS: Final = 19


@dataclass(slots=True)
class Pax:
    """What extended headers say of the next member; None where they say nothing."""

    path: bytes | None = None
    linkpath: bytes | None = None
    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    mtime_ns: int | None = None
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    #: The ``GNU.sparse.`` records in their order, without the prefix.
    sparse: list[Record] = field(default_factory=list)


def split(data: bytes) -> list[Record]:
    """Split an extended header's body into its records: length, keyword, "=", value, newline.

    Damage when a length is not a number or does not end at a newline, or a record has no "=".
    """
    records: list[Record] = []
    start = 0
    while start < len(data):
        space = data.find(b" ", start, start + _LENGTH_DIGITS + 1)
        digits = data[start : space if space >= 0 else start + _LENGTH_DIGITS + 1]
        if space < 0 or not digits.isdigit():
            raise Damage(f"pax record {len(records) + 1} has no length, but {digits!r}")
        end = start + int(digits)
        if end > len(data):
            over = end - len(data)
            raise Damage(f"pax record {len(records) + 1} runs {over} bytes past its header's end")
        # At least the space, a one-letter keyword, "=" and the newline.
        if end < space + 4 or data[end - 1] != 0x0A:
            raise Damage(f"pax record {len(records) + 1} of {end - start} bytes ends in no newline")
        equals = data.find(b"=", space + 1, end - 1)
        if equals <= space + 1:
            shown = data[space + 1 : min(end - 1, space + 65)]
            raise Damage(f"pax record {len(records) + 1} is no keyword=value: {shown!r}")
        records.append((data[space + 1 : equals], data[equals + 1 : end - 1]))
        start = end
    return records


def interpret(records: Iterable[Record], limits: Limits | None = None) -> Pax:
    """Return the meaning of records, of which the later override the earlier.

    An empty value withdraws what was said before (and falls back on the ustar header), except for
    an extended attribute, whose value may be empty. Damage when a value cannot be;
    LimitExceededError for an extended attribute, or all of them together, beyond ``limits``.
    """
    pax = Pax()
    libarchive: dict[bytes, bytes] = {}
    for keyword, value in records:
        reader = _READERS.get(keyword)
        if reader is not None:
            setattr(pax, *reader(keyword, value))
        elif keyword.startswith(_SCHILY):
            _put(pax.xattrs, _gnu_name(keyword.removeprefix(_SCHILY)), value)
        elif keyword.startswith(_LIBARCHIVE):
            name = _unquote(keyword.removeprefix(_LIBARCHIVE))
            _put(libarchive, name, _base64(keyword, value))
        elif keyword.startswith(_SPARSE):
            pax.sparse.append((keyword.removeprefix(_SPARSE), value))
        elif keyword == b"hdrcharset" and value not in _CHARSETS:
            raise Damage(f"pax hdrcharset {value[:64]!r} is not known")
        elif keyword.startswith(b"GNU.volume."):
            raise Damage("a volume of a multi-volume archive")
    # bsdtar writes both forms; the binary one needs no decoding.
    if libarchive:
        pax.xattrs = {**libarchive, **pax.xattrs}
    if pax.xattrs:
        _limit(pax.xattrs, limits or Limits())
    return pax


def keep_global(records: list[Record]) -> list[Record]:
    """Return those records of a global header that can matter to later members.

    Damage when it says something that only one member can have.
    """
    for keyword, value in records:
        if keyword.startswith(_NEVER_GLOBAL) and value:
            raise Damage(f"a global pax header gives every member one {keyword.decode('latin-1')}")
    honoured = (_SCHILY, _LIBARCHIVE, b"hdrcharset", b"GNU.volume.")
    return [one for one in records if one[0] in _READERS or one[0].startswith(honoured)]


def _read_path(keyword: bytes, value: bytes) -> tuple[str, bytes | None]:
    if b"\0" in value:
        raise Damage(f"pax {keyword.decode()} {value[:255]!r} has a NUL in it")
    return keyword.decode(), value or None


def _read_number(keyword: bytes, value: bytes) -> tuple[str, int | None]:
    return keyword.decode(), decimal(value, f"pax {keyword.decode()}") if value else None


def _read_mtime(_: bytes, value: bytes) -> tuple[str, int | None]:
    return "mtime_ns", nanoseconds(value) if value else None


_READERS: Final = {
    b"path": _read_path,
    b"linkpath": _read_path,
    b"size": _read_number,
    b"uid": _read_number,
    b"gid": _read_number,
    b"mtime": _read_mtime,
}


def decimal(value: bytes, what: str) -> int:
    """Return a non-negative decimal number below 2**63; Damage otherwise."""
    # 19 digits are enough; int() of a megabyte of them would take minutes.
    if not value.isdigit() or len(value) > _LENGTH_DIGITS or int(value) >= 2**63:
        raise Damage(f"{what} {value[:64]!r} is not a number from 0 to 2**63-1")
    return int(value)


def nanoseconds(value: bytes) -> int:
    """Return a pax time, seconds since the epoch with a fraction, in whole nanoseconds.

    No float takes part: a double has 53 bits, the present in nanoseconds needs 61. Finer fractions
    round towards the past, as in GNU tar. Damage when it is no such number of 64-bit seconds.
    """
    match = _TIME.fullmatch(value)
    if match is None:
        raise Damage(f"pax mtime {value[:64]!r} is not a number of seconds")
    sign, whole, fraction = match[1], int(match[2]), match[3] or b""
    if whole >= 2**63:
        raise Damage(f"pax mtime {value[:64]!r} does not fit 64 bits")
    total = whole * 10**9 + int(fraction[:9].ljust(9, b"0"))
    if sign:
        return -total - bool(fraction[9:].strip(b"0"))
    return total


def _gnu_name(name: bytes) -> bytes:
    # GNU tar spells "=" and "%" of an attribute's name so (xattr_encode_keyword in its xheader.c).
    return name.replace(b"%3D", b"=").replace(b"%25", b"%") if b"%" in name else name


def _unquote(name: bytes) -> bytes:
    return _PERCENT.sub(lambda match: bytes([int(match[1], 16)]), name)


def _base64(keyword: bytes, value: bytes) -> bytes:
    try:
        # libarchive writes no padding.
        return binascii.a2b_base64(value + b"=" * (-len(value) % 4), strict_mode=True)
    except binascii.Error as error:
        raise Damage(f"pax {keyword[:64]!r} is not base64: {error}") from None


def _put(xattrs: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    if not name or b"\0" in name:
        raise Damage(f"{name[:64]!r} cannot be the name of an extended attribute")
    xattrs[name] = value


def _limit(xattrs: dict[bytes, bytes], limits: Limits) -> None:
    total = 0
    for name, value in xattrs.items():
        total += len(name) + len(value)
        if len(name) > limits.max_xattr_name_bytes:
            raise LimitExceededError(
                f"the extended attribute {name[:64]!r}… has a name of {len(name)} bytes",
                limit=f"max_xattr_name_bytes={limits.max_xattr_name_bytes}",
            )
        if len(value) > limits.max_xattr_value_bytes:
            raise LimitExceededError(
                f"the extended attribute {name!r} has {len(value)} bytes",
                limit=f"max_xattr_value_bytes={limits.max_xattr_value_bytes}",
            )
    if total > limits.max_xattrs_bytes:
        raise LimitExceededError(
            f"the extended attributes of one entry have {total} bytes together",
            limit=f"max_xattrs_bytes={limits.max_xattrs_bytes}",
        )
