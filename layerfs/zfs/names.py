"""Validate names before ZFS, or a command line, sees them. No other module judges names.

The rules are those of the kernel module (zfs_namecheck.c, zfs(8)): components of ASCII letters,
digits and ``_ . : -``, in all less than 256 bytes. Stricter than ZFS in two points: no spaces, and
no component begins with ``-``, so that no name can be taken for an option.
"""

from __future__ import annotations

from typing import Final

from layerfs.errors import ValidationError

#: ZFS_MAX_DATASET_NAME_LEN of sys/fs/zfs.h, with the final NUL.
MAX_LENGTH: Final = 256
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_ALLOWED: Final = _LETTERS | frozenset("0123456789_.:-")
_IN_TAGS: Final = _ALLOWED | frozenset("+,/=@")


def component(name: str) -> str:
    """Return ``name``, one component of a dataset's name or the part after ``@``."""
    _check(name, name, "zfs name")
    return name


def pool(name: str) -> str:
    """Return ``name``, a pool's: one component that begins with a letter."""
    _check_path(name, name, "zfs pool name")
    if "/" in name:
        raise _refused("zfs pool name", name, "a pool has no '/' in its name")
    return name


def dataset(name: str) -> str:
    """Return ``name``, a dataset's full one: ``pool``, ``pool/a`` or ``pool/a/b``."""
    _check_path(name, name, "zfs dataset name")
    return name


def inner(name: str) -> str:
    """Return ``name``, a dataset's that is not its pool's root."""
    dataset(name)
    if "/" not in name:
        raise _refused("zfs dataset name", name, "the root of a pool cannot be made or destroyed")
    return name


def snapshot(name: str) -> str:
    """Return ``name``, a snapshot's full one: ``pool/a@b``."""
    path, at, last = name.partition("@")
    if not at:
        raise _refused("zfs snapshot name", name, "it has no '@'")
    _check_path(path, name, "zfs snapshot name")
    _check(last, name, "zfs snapshot name")
    return name


def any_name(name: str) -> str:
    """Return ``name``, a dataset's or a snapshot's full one."""
    return snapshot(name) if "@" in name else dataset(name)


def tag(name: str) -> str:
    """Return ``name``, a hold's tag: printable ASCII, at most 255 bytes, no leading ``-`` or ``.``.

    ZFS itself keeps tags that begin with ``.`` (zfs-hold(8)).
    """
    what = "tag of a zfs hold"
    if not name:
        raise _refused(what, name, "it is empty")
    if name[0] in "-.":
        raise _refused(what, name, f"it begins with {name[0]!r}")
    _check_characters(name, name, what, _IN_TAGS)
    _check_length(name, what)
    return name


def pool_of(name: str) -> str:
    """Return the pool's part of a valid name."""
    return name.partition("@")[0].partition("/")[0]


def parent_of(name: str) -> str:
    """Return the parent of a valid dataset name, or the dataset of a snapshot."""
    return name.rpartition("@" if "@" in name else "/")[0]


def one_pool(names: list[str]) -> str:
    """Return the pool of all these valid names; ValidationError when there are several."""
    pools = sorted({pool_of(name) for name in names})
    if len(pools) != 1:
        raise ValidationError(f"one zfs operation is of one pool, not of {', '.join(pools)}")
    return pools[0]


def _check_path(path: str, whole: str, what: str) -> None:
    for part in path.split("/"):
        _check(part, whole, what)
    if path[0] not in _LETTERS:
        raise _refused(what, whole, "a pool's name begins with a letter")


def _check(part: str, whole: str, what: str) -> None:
    if not part:
        raise _refused(what, whole, "a component is empty")
    if part in {".", ".."}:
        raise _refused(what, whole, f"a component is {part!r}")
    if part[0] == "-":
        raise _refused(what, whole, "a component begins with '-'")
    _check_characters(part, whole, what, _ALLOWED)
    _check_length(whole, what)


def _check_characters(part: str, whole: str, what: str, allowed: frozenset[str]) -> None:
    strange = next((one for one in part if one not in allowed), None)
    if strange is not None:
        raise _refused(what, whole, f"{strange!r} is not allowed")


def _check_length(whole: str, what: str) -> None:
    if len(whole) >= MAX_LENGTH:
        raise _refused(what, whole, f"{len(whole)} bytes are too long: ZFS takes {MAX_LENGTH - 1}")


def _refused(what: str, name: str, why: str) -> ValidationError:
    return ValidationError(f"{what} {name!r}: {why}")
