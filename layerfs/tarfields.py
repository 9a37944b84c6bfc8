"""The fields of one 512-byte tar header: numbers, checksum, names. No I/O.

Sources: POSIX.1-2017 pax, "ustar Interchange Format"; the GNU tar manual, "Basic Tar Format".
What is malformed raises `Damage`, which knows nothing of the archive; `layerfs.tarstream` turns it
into a ValidationError with the offset.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final
from zlib import adler32

from layerfs.errors import HostileLayerError, InvalidLayerPathError, LimitExceededError

BLOCK: Final = 512
ZERO_BLOCK: Final = bytes(BLOCK)

#: name, mode, uid, gid, size, mtime, chksum, typeflag, linkname, magic and version,
#: (uname, gname), devmajor, devminor, prefix, (the rest).
HEADER: Final = struct.Struct("100s8s8s8s12s12s8sc100s8s64x8s8s155s12x")
#: name, (mode, uid, gid), size, mtime, chksum, typeflag, linkname, magic and version, and the
#: first byte of prefix.
PLAIN: Final = struct.Struct("100s24s12s12s8sc100s8s80xc166x")
POSIX_MAGIC: Final = b"ustar\x0000"
GNU_MAGIC: Final = b"ustar  \0"

#: limits.h: the longest component, and the longest path without its NUL.
NAME_MAX: Final = 255
PATH_MAX: Final = 4095

_ID_MAX: Final = 2**32 - 2

_POSITIVE: Final = 0x80
_NEGATIVE: Final = 0xFF
_WHITEOUT: Final = b".wh."
_CHECKSUM: Final = slice(148, 156)
_PREFIX: Final = slice(345, 500)
_STAR_PREFIX: Final = 131


class Damage(ValueError):  # noqa: N818 - it is never seen outside of the reader
    """What is wrong, as a phrase; the reader adds where."""


@lru_cache(maxsize=1 << 13)
def number(field: bytes) -> int:
    """Return the value of a numeric field: octal digits, or GNU's base-256. Blank is 0.

    GNU's are big-endian two's complement, marked by a first byte of 0x80 or 0xff, so they may be
    negative: the caller decides whether that makes sense. Damage when it is neither. Owners, modes
    and times repeat from member to member, hence the cache.
    """
    if field[0] == _POSITIVE:
        return int.from_bytes(field[1:], "big")
    if field[0] == _NEGATIVE:
        return int.from_bytes(field, "big", signed=True)
    digits, _, rest = field.partition(b"\0")
    digits = digits.strip(b" ")
    if not digits:
        # Readers disagree on digits behind a leading NUL: some see them, some see 0.
        if rest.strip(b"\0 "):
            raise Damage(f"{field!r} is not an octal number")
        return 0
    # int() alone would also take signs, underscores and "0o".
    try:
        if digits.isdigit():
            return int(digits, 8)
    except ValueError:  # an 8 or a 9
        pass
    raise Damage(f"{field!r} is not an octal number")


def positive(field: bytes, what: str) -> int:
    """Return the value of a numeric field that can be neither negative nor above 2**63-1."""
    value = number(field)
    if not 0 <= value < 2**63:
        raise Damage(f"{what} {value} is not between 0 and 2**63-1")
    return value


@lru_cache(maxsize=1 << 10)
def owner_fields(fields: bytes) -> tuple[int, int, int]:
    """Return permission bits, uid and gid from the 24 bytes of their three fields."""
    uid, gid = number(fields[8:16]), number(fields[16:])
    check_owner(uid, gid)
    return positive(fields[:8], "mode") & 0o7777, uid, gid


def check_owner(uid: int, gid: int) -> None:
    """Damage when an id is not one of Linux, 0 to 2**32-2: the next means "none" to chown(2)."""
    if not (0 <= uid <= _ID_MAX and 0 <= gid <= _ID_MAX):
        raise Damage(f"{uid}:{gid} is no valid owner")


def text(field: bytes) -> bytes:
    """Return a string field up to its first NUL, if any."""
    return field.partition(b"\0")[0]


def check_sum(block: bytes, field: bytes) -> None:
    """Compare the header's checksum with the sum of its bytes, its own field taken as spaces.

    Old writers summed signed characters (GNU tar manual): either sum will do. Damage otherwise.
    """
    stored = -1 if field[0] & 0x80 or not field.strip(b"\0 ") else number(field)
    # The low half of adler32 is the plain sum modulo 65521, which 256 bytes cannot reach: this is
    # the sum at C speed, ten times faster than sum().
    total = (adler32(block[:256], 0) & 0xFFFF) + (adler32(block[256:], 0) & 0xFFFF)
    unsigned = total - (adler32(field, 0) & 0xFFFF) + 8 * 0x20
    if stored == unsigned:
        return
    others = block[: _CHECKSUM.start] + block[_CHECKSUM.stop :]
    if stored != unsigned - 256 * sum(byte >> 7 for byte in others):
        raise Damage(f"the checksum field says {field!r}, but the bytes add up to {unsigned:o}")


def is_header(block: bytes) -> bool:
    """Say whether a block is a header, by its checksum. The zero block is none."""
    if len(block) < BLOCK:
        return False
    try:
        check_sum(block, block[_CHECKSUM])
    except Damage:
        return False
    return True


def with_prefix(block: bytes, name: bytes) -> bytes:
    """Return the name of a POSIX header whose prefix is not empty.

    star's headers end in "tar", and keep two times behind a shorter prefix (star(5)).
    """
    end = _PREFIX.stop if block[-4:] != b"tar\0" else _PREFIX.start + _STAR_PREFIX
    return text(block[_PREFIX.start : end]) + b"/" + name


def clean_name(raw: bytes) -> bytes:
    """Return the member name relative to the layer's root; ``b"."`` is the root itself.

    A leading "/", empty and "." components, and trailing slashes go. Damage for an empty name or
    one with a NUL; HostileLayerError for a ".." component; InvalidLayerPathError for a component,
    LimitExceededError for a path, that is too long for Linux. A whiteout's prefix does not count:
    the name that it hides may have the full length.
    """
    name = raw[2:] if raw.startswith(b"./") else raw
    if name.endswith(b"/"):
        name = name.rstrip(b"/")
    # find() is several times faster than "in", which tries bytes as a number first.
    find = name.find
    if (
        0 < len(name) <= NAME_MAX
        and name[0] not in b"./"
        and find(b"/.") < 0
        and find(b"//") < 0
        and find(b"\0") < 0
    ):
        return name
    return _clean_slowly(raw)


def _clean_slowly(raw: bytes) -> bytes:
    if not raw:
        raise Damage("the name is empty")
    if b"\0" in raw:
        raise Damage(f"the name {raw[:NAME_MAX]!r} has a NUL in it")
    if len(raw) > 2 * PATH_MAX:
        raise path_too_long(raw, PATH_MAX)
    parts = [part for part in raw.split(b"/") if part not in {b"", b"."}]
    if b".." in parts:
        raise HostileLayerError(f"hostile layer: {raw!r} has a '..' component", path=raw)
    for part in parts:
        if len(part.removeprefix(_WHITEOUT)) > NAME_MAX:
            raise _too_long(raw, "a component", NAME_MAX)
    name = b"/".join(parts) or b"."
    if len(name) > PATH_MAX:
        raise path_too_long(raw, PATH_MAX)
    return name


def clean_target(raw: bytes) -> bytes:
    """Return a symlink's target, which is kept as it is.

    Damage when it is empty or has a NUL; InvalidLayerPathError when it is longer than a symlink
    can be (symlink(2), ENAMETOOLONG).
    """
    if not raw or b"\0" in raw:
        raise Damage(f"{raw[:NAME_MAX]!r} cannot be the target of a symlink")
    if len(raw) > PATH_MAX:
        raise _too_long(raw, "the target of a symlink", PATH_MAX)
    return raw


def path_too_long(raw: bytes, most: int) -> LimitExceededError:
    """Return the refusal of a path of more than ``most`` bytes."""
    shown = raw[:64]
    return LimitExceededError(
        f"the path is longer than {most} bytes: it begins with {shown!r}",
        path=raw[:PATH_MAX],
        limit=f"max_path_bytes={most}",
    )


def _too_long(raw: bytes, what: str, most: int) -> InvalidLayerPathError:
    shown = raw[:64]
    return InvalidLayerPathError(
        f"{what} is longer than {most} bytes: it begins with {shown!r}", path=raw[:PATH_MAX]
    )
