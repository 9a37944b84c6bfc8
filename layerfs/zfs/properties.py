"""The properties that layerfs sets and reads: what is known of each. Does no input or output.

libzfs_core passes values as the kernel has them: an index of an enumeration, a number, or a
string. The numbers are those of the module's table (zfs_prop.c, sys/fs/zfs.h), and the same from
OpenZFS 2.0 on. A value that means different things in different versions (``xattr=on``) is not
offered. What is not in these tables is refused: it has not been tried.

Source of meanings: zfsprops(7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from layerfs.errors import ValidationError

_SWITCH: Final = {"off": 0, "on": 1}
#: The index of each value that may be set.
_INDEXES: Final[dict[str, dict[str, int]]] = {
    "acltype": {"off": 0, "posix": 1},
    "atime": _SWITCH,
    "canmount": {"off": 0, "noauto": 2},
    "casesensitivity": {"sensitive": 0},
    "compression": {"on": 1, "off": 2, "lz4": 15, "zstd": 16},
    "devices": _SWITCH,
    "dnodesize": {"legacy": 0, "auto": 1},
    "exec": _SWITCH,
    "normalization": {"none": 0},
    "readonly": _SWITCH,
    "relatime": _SWITCH,
    "setuid": _SWITCH,
    "snapdir": {"hidden": 0, "visible": 1},
    "sync": {"standard": 0, "always": 1, "disabled": 2},
    "utf8only": _SWITCH,
    "xattr": {"off": 0, "dir": 1, "sa": 2},
}
_QUOTAS: Final = frozenset({"quota", "refquota"})
#: Those that are read only, besides all that may be set.
_READABLE: Final = frozenset(
    {
        "available", "compressratio", "createtxg", "creation", "defer_destroy", "guid",
        "logicalreferenced", "logicalused", "mounted", "origin", "refcompressratio", "referenced",
        "type", "used", "usedbychildren", "usedbydataset", "usedbysnapshots", "userrefs", "written",
    }
)  # fmt: skip
_RATIOS: Final = frozenset({"compressratio", "refcompressratio"})

_IN_USER_NAMES: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789:._-")
#: ZAP_MAXNAMELEN and ZAP_MAXVALUELEN of sys/zap.h, with the final NUL.
_MAX_USER_NAME: Final = 256
_MAX_USER_VALUE: Final = 8192
_MAX_MOUNTPOINT: Final = 1024
_UNITS: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Setting(NamedTuple):
    """A property that may be set: as the command takes it, and as the kernel does."""

    text: str
    kernel: int | str


def settings(properties: Mapping[str, str]) -> dict[str, Setting]:
    """Validate what is to be set on a new dataset.

    Sizes are bytes, or a number with K, M, G or T (binary); ``none`` is no quota. ValidationError
    names the property and the values that it takes.
    """
    return {name: _setting(name, value) for name, value in properties.items()}


def unmounted(properties: Mapping[str, str]) -> dict[str, str]:
    """Add ``canmount=noauto``, unless it is given: ``zfs clone`` would mount the new dataset.

    The library mounts nothing, whatever the properties are.
    """
    if properties.get("canmount") == "on":
        raise ValidationError(
            "zfs property canmount=on: layerfs mounts its datasets itself; it is 'noauto' or 'off'"
        )
    return {"canmount": "noauto", **properties}


def user_settings(properties: Mapping[str, str]) -> dict[str, str]:
    """Validate properties of which all must be the user's; snapshots have no others."""
    for name, value in properties.items():
        user_name(name)
        _check_user_value(name, value)
    return dict(properties)


def user_name(name: str) -> str:
    """Return ``name``, a user property's: it has a colon (zfsprops(7), "User Properties")."""
    why = ""
    if ":" not in name:
        why = "a user property has a ':' in its name"
    elif name[0] == "-":
        why = "it begins with '-'"
    elif strange := [one for one in name if one not in _IN_USER_NAMES]:
        why = f"{strange[0]!r} is not allowed"
    elif len(name) >= _MAX_USER_NAME:
        why = f"{len(name)} bytes are too long: ZFS takes {_MAX_USER_NAME - 1}"
    if why:
        raise ValidationError(f"zfs property name {name!r}: {why}")
    return name


def readable(names: Iterable[str]) -> list[str]:
    """Return the names, each that of a user property, or of a native one that can be read here."""
    found = list(names)
    for name in found:
        if ":" in name:
            user_name(name)
        elif name not in _READABLE and not _settable(name):
            raise ValidationError(f"zfs property {name!r} is not one that layerfs reads")
    return found


def printed(name: str, value: str) -> str:
    """Return a value of a channel program as ``zfs get -Hp`` prints it.

    Lua's numbers are signed, those of ZFS are not (zfs-program(8), ``zfs.get_prop``).
    """
    if ":" in name or not value.removeprefix("-").isdecimal():
        return value
    number = int(value) % (1 << 64)
    return f"{number // 100}.{number % 100:02}" if name in _RATIOS else str(number)


def _settable(name: str) -> bool:
    return name in _INDEXES or name in _QUOTAS or name in {"mountpoint", "recordsize"}


def _setting(name: str, value: str) -> Setting:
    if ":" in name:
        user_name(name)
        _check_user_value(name, value)
        return Setting(value, value)
    if name in _INDEXES:
        index = _INDEXES[name].get(value)
        if index is None:
            raise _refused(name, value, " | ".join(_INDEXES[name]))
        return Setting(value, index)
    if name in _QUOTAS:
        number = 0 if value == "none" else _size(name, value)
        return Setting(str(number) if number else "none", number)
    if name == "recordsize":
        number = _size(name, value)
        if not 512 <= number <= 1 << 20 or number & (number - 1):
            raise _refused(name, value, "a power of two from 512 to 1M")
        return Setting(str(number), number)
    if name == "mountpoint":
        return _mountpoint(value)
    known = ", ".join(sorted({*_INDEXES, *_QUOTAS, "mountpoint", "recordsize"}))
    raise ValidationError(f"zfs property {name!r} is not one that layerfs sets: {known}")


def _size(name: str, value: str) -> int:
    digits, unit = (value[:-1], _UNITS[value[-1]]) if value[-1:] in _UNITS else (value, 1)
    if digits.isascii() and digits.isdecimal() and int(digits) * unit < 1 << 63:
        return int(digits) * unit
    raise _refused(name, value, "a number of bytes, or one with K, M, G or T")


def _mountpoint(value: str) -> Setting:
    if value not in {"none", "legacy"}:
        if not value.startswith("/") or "\0" in value or "\n" in value:
            raise _refused("mountpoint", value, "none | legacy | an absolute path")
        if len(value.encode(errors="surrogateescape")) >= _MAX_MOUNTPOINT:
            raise _refused("mountpoint", value, f"less than {_MAX_MOUNTPOINT} bytes")
    return Setting(value, value)


def _check_user_value(name: str, value: str) -> None:
    if "\0" in value:
        raise ValidationError(f"zfs property {name!r}: a value has no NUL")
    length = len(value.encode(errors="surrogateescape"))
    if length >= _MAX_USER_VALUE:
        raise ValidationError(
            f"zfs property {name!r}: a value of {length} bytes; ZFS takes {_MAX_USER_VALUE - 1}"
        )


def _refused(name: str, value: str, wanted: str) -> ValidationError:
    return ValidationError(f"zfs property {name}={value!r}: it is {wanted}")
