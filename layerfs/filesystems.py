"""Say which file system something lies on, and how it can be given what it lacks.

Only for messages: what a file system can do is found out by doing it. Sources: zfsprops(7).
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Final, NamedTuple

from layerfs.mountinfo import mountinfo
from layerfs.syscalls import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, mount_of

#: What a dataset is given, by what it lacks. Those of names are set when a dataset is created.
_ON_ZFS: Final = {
    "xattrs": "`zfs set xattr=sa {source}` gives it them",
    "acls": "`zfs set acltype=posix {source}` gives it them",
    "case": "put the store on a dataset that was created with casesensitivity=sensitive",
    "normalization": "put the store on a dataset that was created with normalization=none",
    "bytes": "put the store on a dataset that was created with utf8only=off",
    "upperdir": "OpenZFS 2.2 and later can",
}
_ELSEWHERE: Final = {
    "xattrs": "put the store on ext4, xfs, btrfs, or tmpfs of Linux 6.6 and later",
    "acls": "put the store on ext4, xfs or btrfs, mounted without noacl",
    "case": "put the store in a directory without casefold",
    "normalization": "put the store in a directory without casefold",
    "bytes": "put the store on ext4, xfs or btrfs",
    "upperdir": "ext4, xfs, btrfs and tmpfs can",
}


class FileSystem(NamedTuple):
    """A mounted file system, in an administrator's words."""

    kind: str  #: as in mountinfo; "unknown" for one that is mounted nowhere
    source: str  #: the device, or the dataset

    def __str__(self) -> str:
        """Return what stands in brackets after "the file system of the store"."""
        if self.kind != "zfs":
            return self.kind
        return f"zfs, dataset {self.source}{_version()}"

    def remedy(self, lacks: str) -> str:
        """Return what to do about a lack of ``xattrs``, ``acls``, or other names of the tables."""
        known = _ON_ZFS if self.kind == "zfs" else _ELSEWHERE
        return known[lacks].format(source=shlex.quote(self.source))


def file_system_of(place: int | str | bytes | Path) -> FileSystem:
    """Return the file system of a descriptor, or of a path, which is followed. OSError."""
    if isinstance(place, int):
        mount_id, _ = mount_of(place, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)
    else:
        mount_id, _ = mount_of(AT_FDCWD, place, 0)
    for entry in mountinfo():
        if entry.id == mount_id:
            return FileSystem(entry.fstype, os.fsdecode(entry.source))
    return FileSystem("unknown", "")


def _version() -> str:
    try:
        told = Path("/sys/module/zfs/version").read_text(encoding="ascii")
    except OSError:  # built into the kernel
        return ""
    return f", OpenZFS {told.strip().partition('-')[0]}"
