"""Members, and the extended headers before a member: the values of a tar reader. No I/O.

`layerfs.tarstream` is where to import these from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from layerfs.paxrecords import Pax
from layerfs.tarfields import Damage

#: A tar has no type for sockets, so none is ever read.
Kind = Literal["file", "dir", "symlink", "hardlink", "fifo", "char", "block", "socket"]


@dataclass(slots=True)
class Member:
    """One entry of the archive, as it is to be made.

    ``name`` is relative to the root, without "./", and ``b"."`` for the root itself. ``linkname``
    is a symlink's target as it is, or a hardlink's target normalised like ``name``. ``mode`` has
    the permission bits, setuid, setgid and sticky. ``size`` is the length of the file in bytes,
    ``stored_size`` how many of them the archive holds: they differ only for a sparse file, where
    the data are the runs ``sparse``, pairs of (offset, length), ascending, without overlap.
    """

    name: bytes
    kind: Kind
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    linkname: bytes = b""
    rdev: tuple[int, int] = (0, 0)
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    sparse: list[tuple[int, int]] | None = None
    stored_size: int = 0


@dataclass(slots=True)
class Extensions:
    """What the headers before a member say of it."""

    pax: Pax | None = None
    name: bytes | None = None
    linkname: bytes | None = None

    def light(self) -> bool:
        """Whether they give nothing but times and extended attributes."""
        pax = self.pax
        return (
            pax is not None
            and self.name is self.linkname is pax.path is pax.linkpath is None
            and pax.size is pax.uid is pax.gid is None
            and not pax.sparse
        )

    def given(self) -> bool:
        """Whether there are any."""
        return self.pax is not None or self.name is not None or self.linkname is not None


def override(member: Member, pax: Pax | None, extensions: Extensions) -> None:
    """Put what the extended headers say in the place of what the header says."""
    name, linkname = extensions.name, extensions.linkname
    if pax is not None:
        if None not in (name, pax.path) and name != pax.path:
            raise Damage(f"two long names, {name!r:.255} and {pax.path!r:.255}")
        if None not in (linkname, pax.linkpath) and linkname != pax.linkpath:
            raise Damage(f"two long link names, {linkname!r:.255} and {pax.linkpath!r:.255}")
        name = name if pax.path is None else pax.path
        linkname = linkname if pax.linkpath is None else pax.linkpath
        member.uid = member.uid if pax.uid is None else pax.uid
        member.gid = member.gid if pax.gid is None else pax.gid
        member.size = member.size if pax.size is None else pax.size
        member.mtime_ns = member.mtime_ns if pax.mtime_ns is None else pax.mtime_ns
        member.xattrs = dict(pax.xattrs)
    member.name = member.name if name is None else name
    member.linkname = member.linkname if linkname is None else linkname
