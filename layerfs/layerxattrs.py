"""Which extended attributes of a layer's member are stored, and in what form. No I/O.

Overlayfs's own names (``trusted.overlay.*``, ``user.overlay.*``) in a tar are forged markers and
are always dropped (kernel: filesystems/overlayfs.rst, "Nesting overlayfs mounts"). Outside the
initial user namespace nobody may write ``trusted.*``, nor ``security.*`` other than
``security.capability`` (xattr(7), capabilities(7)): there they are dropped too.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, Protocol

ACL_ACCESS: Final = b"system.posix_acl_access"
ACL_DEFAULT: Final = b"system.posix_acl_default"
ACLS: Final = (ACL_ACCESS, ACL_DEFAULT)
CAPABILITY: Final = b"security.capability"

_FORGED: Final = (b"trusted.overlay.", b"user.overlay.")

# linux/posix_acl_xattr.h: a version, then entries of tag, permissions and id.
_ACL_VERSION: Final = struct.Struct("<I")
_ACL_ENTRY: Final = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID: Final = 0xFFFFFFFF


class Policy(Protocol):
    """What ``apply`` was told of this host; see ``ApplyOptions``."""

    @property
    def userxattr(self) -> bool:
        """Whether overlayfs reads its marks from ``user.overlay.*``."""

    @property
    def squash_ids(self) -> bool:
        """Whether all files belong to the one id that is mapped here."""

    @property
    def drop_privileged_xattrs(self) -> bool:
        """Whether trusted.* and most security.* cannot be written here."""


def opaque_name(policy: Policy) -> bytes:
    """Return the attribute that makes a directory opaque; its value is ``y``."""
    return b"user.overlay.opaque" if policy.userxattr else b"trusted.overlay.opaque"


def stored(xattrs: Mapping[bytes, bytes], policy: Policy) -> dict[bytes, bytes]:
    """Return what of a member's attributes is to be written, by name.

    ACLs are given as the kernel gives them back, so that the result can be compared with a file's;
    those that say no more than the mode are left out, since the kernel does not keep them. ACLs
    that name users or groups cannot be said where only one id is mapped, and are dropped there.
    """
    kept = {}
    for name, value in xattrs.items():
        if name.startswith(_FORGED):
            continue
        if policy.drop_privileged_xattrs and (
            name.startswith(b"trusted.") or (name.startswith(b"security.") and name != CAPABILITY)
        ):
            continue
        if name in ACLS:
            entries = _parse_acl(value)
            if entries is not None:
                named = any(tag in {_USER, _GROUP} for tag, _, _ in entries)
                if not entries or (named and policy.squash_ids):
                    continue
                if name == ACL_ACCESS and _acl_mode(entries) is not None and len(entries) == 3:
                    continue
                value = _format_acl(entries)  # noqa: PLW2901 - the same attribute, normalised
        kept[name] = value
    return kept


def mode_with_acl(mode: int, xattrs: Mapping[bytes, bytes]) -> int:
    """Return the mode that a file has once its access ACL is set on top of ``mode`` (acl(5)).

    An ACL says more than the mode, and where a tar has both, the ACL is written last.
    """
    entries = _parse_acl(xattrs.get(ACL_ACCESS, b""))
    permissions = None if entries is None else _acl_mode(entries)
    return mode if permissions is None else (mode & 0o7000) | permissions


def _parse_acl(value: bytes) -> list[tuple[int, int, int]] | None:
    """Return the entries, or None for what is no ACL: the kernel will say so when it is set."""
    size = len(value) - _ACL_VERSION.size
    if not value:
        return []
    if size < 0 or size % _ACL_ENTRY.size or _ACL_VERSION.unpack_from(value) != (2,):
        return None
    return list(_ACL_ENTRY.iter_unpack(value[_ACL_VERSION.size :]))


def _format_acl(entries: list[tuple[int, int, int]]) -> bytes:
    return _ACL_VERSION.pack(2) + b"".join(
        _ACL_ENTRY.pack(tag, permissions, number if tag in {_USER, _GROUP} else _NO_ID)
        for tag, permissions, number in entries
    )


def _acl_mode(entries: list[tuple[int, int, int]]) -> int | None:
    """Return the nine mode bits that an ACL stands for; None when it is not whole."""
    by_tag = {tag: permissions & 7 for tag, permissions, _ in entries}
    if not {_USER_OBJ, _GROUP_OBJ, _OTHER} <= set(by_tag):
        return None
    group = by_tag.get(_MASK, by_tag[_GROUP_OBJ])
    return by_tag[_USER_OBJ] << 6 | group << 3 | by_tag[_OTHER]
