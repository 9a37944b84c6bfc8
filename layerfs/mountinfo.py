"""Read which mounts there are, and in which namespaces this process is. Changes nothing.

Sources: proc_pid_mountinfo(5), mount_namespaces(7), user_namespaces(7).
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from layerfs import syscalls
from layerfs.syscalls import Path

#: The inode number of the first user namespace: PROC_USER_INIT_INO of linux/proc_ns.h.
_INIT_USER_NAMESPACE = 0xEFFFFFFD


class MountEntry(NamedTuple):
    """One line of mountinfo, with its octal escapes undone."""

    id: int  #: unique among all namespaces, until the mount is gone
    parent: int
    dev: int  #: of the superblock, as ``st_dev`` of its directories
    root: bytes  #: the directory of the file system that is mounted
    target: bytes  #: absolute, as seen from the root directory of the process
    options: tuple[str, ...]  #: of this mount: "ro", "nosuid"…
    shared: int  #: peer group, 0 if private or slave only
    master: int  #: peer group that this mount receives from, 0 if none
    fstype: str
    source: bytes
    super_options: tuple[bytes, ...]  #: of the file system: b"lowerdir+=/a"…


def mountinfo(pid: int | str = "self") -> list[MountEntry]:
    """Return the mounts that a process sees. OSError when it is gone; needs no privilege."""
    return parse(read(pid))


def read(pid: int | str = "self") -> bytes:
    """Return the mountinfo of a process as it is; OSError when the process is gone."""
    with open(f"/proc/{pid}/mountinfo", "rb", buffering=0) as file:
        return file.read()


def parse(data: bytes) -> list[MountEntry]:
    """Return the entries of ``data``, in its order."""
    return [_entry(line) for line in data.splitlines()]


def _entry(line: bytes) -> MountEntry:
    fields = line.split(b" ")
    dash = fields.index(b"-", 6)
    major, _, minor = fields[2].partition(b":")
    tags = dict(tag.split(b":") for tag in fields[6:dash] if b":" in tag)
    return MountEntry(
        id=int(fields[0]),
        parent=int(fields[1]),
        dev=os.makedev(int(major), int(minor)),
        root=_plain(fields[3]),
        target=_plain(fields[4]),
        options=tuple(os.fsdecode(fields[5]).split(",")),
        shared=int(tags.get(b"shared", 0)),
        master=int(tags.get(b"master", 0)),
        fstype=os.fsdecode(fields[dash + 1]),
        source=_plain(fields[dash + 2]),
        # A comma within a value is escaped as well, so that this split is exact.
        super_options=tuple(_plain(option) for option in fields[dash + 3].split(b",")),
    )


def _plain(field: bytes) -> bytes:
    # Space, tab, newline and backslash (in options also comma, and others) are \ooo.
    if b"\\" not in field:
        return field
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8) & 0xFF]), field)


def mount_at(target: Path, table: Sequence[MountEntry] | None = None) -> MountEntry | None:
    """Return the topmost mount whose root is ``target``; None when there is none.

    ``table`` is ``mountinfo()`` of now, if the caller has it: reading it costs milliseconds where
    a stack has hundreds of layers. A symlink as the last component is not followed. OSError when
    the path cannot be reached, except that a missing one is no mount.
    """
    try:
        mount_id, is_root = syscalls.mount_of(syscalls.AT_FDCWD, target)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not is_root:
        return None
    if table is not None:
        return next((entry for entry in table if entry.id == mount_id), None)
    begin = b"%d " % mount_id
    lines = (line for line in read().splitlines() if line.startswith(begin))
    return next(map(_entry, lines), None)


def is_mountpoint(target: Path) -> bool:
    """Say whether something is mounted on ``target``; a missing path or a symlink is none."""
    try:
        return syscalls.mount_of(syscalls.AT_FDCWD, target)[1]
    except (FileNotFoundError, NotADirectoryError):
        return False


class Ids(NamedTuple):
    """The id maps of this user namespace: (first inside, first outside, how many) lines."""

    uids: tuple[tuple[int, int, int], ...]
    gids: tuple[tuple[int, int, int], ...]

    @property
    def single(self) -> bool:
        """Whether no more than one user is mapped, as by ``unshare -Ur``."""
        return sum(count for _, _, count in self.uids) <= 1


def id_map() -> Ids:
    """Return the id maps of this process (user_namespaces(7))."""
    return Ids(_map("uid_map"), _map("gid_map"))


def _map(name: str) -> tuple[tuple[int, int, int], ...]:
    with open(f"/proc/self/{name}", encoding="ascii") as file:
        lines = [line.split() for line in file]
    return tuple((int(inside), int(outside), int(count)) for inside, outside, count in lines)


def in_init_userns() -> bool:
    """Say whether this process is in the user namespace that the host booted with."""
    return os.stat("/proc/self/ns/user").st_ino == _INIT_USER_NAMESPACE


def namespace_id() -> int:
    """Return the inode number of this mount namespace; unique only while the namespace lives."""
    return os.stat("/proc/self/ns/mnt").st_ino


@functools.cache  # a process does not outlive its boot
def boot_id() -> str:
    """Return what is new at each boot (random(4))."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def processes() -> Iterator[int]:
    """Yield the processes that are visible here; any may be gone by the time it is used."""
    with os.scandir("/proc") as found:
        for entry in found:
            if entry.name.isdecimal():
                yield int(entry.name)


def namespace_alive(namespace: int) -> bool:
    """Say whether a process still is in the mount namespace ``namespace`` (an inode number).

    The namespaces of processes that we may not look into (ptrace(2), PTRACE_MODE_READ) count as
    alive, if they are not ours and the process is of our own user: to take a living namespace for
    dead would be the worse. One that only a bind mount or a descriptor keeps is not found.
    """
    own = namespace_id()
    if namespace == own:
        return True
    ids: set[int] = set()
    for pid in processes():
        try:
            if os.stat(f"/proc/{pid}/ns/mnt").st_ino == namespace:
                return True
        except PermissionError:
            ids = ids or {entry.id for entry in mountinfo()}
            if _is_foreign(pid, ids):
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False


def _is_foreign(pid: int, ids: set[int]) -> bool:
    """Say whether a process of our user is in another namespace; ``ids``: the mounts of ours.

    Mount ids are unique among namespaces, and mountinfo is open to everyone.
    """
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return False
        return not any(entry.id in ids for entry in mountinfo(pid))
    except OSError:  # gone meanwhile; a zombie has no mounts: EINVAL
        return False
