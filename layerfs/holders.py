"""Find out who keeps a mount busy. Reads /proc only, and names what it finds in words.

What may not be looked into (processes of other users, ptrace(2)) is passed over in silence: the
answer is as good as the caller's privilege. Processes end while they are looked at; that is no
error.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from layerfs import mountinfo, syscalls
from layerfs.mountinfo import MountEntry

#: statx(2): take what is known, so that the server of a dead network file system is not waited for.
_AT_STATX_DONT_SYNC = 0x4000

#: A process that is gone, or that is not ours to see.
_UNSEEN = (FileNotFoundError, ProcessLookupError, PermissionError)


class Copy(NamedTuple):
    """The same file system, mounted in another mount namespace."""

    pid: int  #: a process there
    entry: MountEntry
    lasting: bool  #: unmounting ours does not unmount it (mount_namespaces(7), propagation)

    def __str__(self) -> str:
        return f"process {_named(self.pid)} in another mount namespace"


def holders(entry: MountEntry) -> list[str]:
    """Say who keeps ``entry``, a mount of this namespace, from being unmounted.

    Such as "process 123 (sleep): cwd", "mount /t/sub nested", "loop0: /t/disk.img", and
    "process 9 (sh) in another mount namespace". Empty when nobody can be seen.
    """
    found = [
        f"mount {os.fsdecode(other.target)} nested"
        for other in mountinfo.mountinfo()
        if other.parent == entry.id
    ]
    elsewhere = copies(entry)
    found += _processes({entry.id, *(copy.entry.id for copy in elsewhere)}, entry.dev)
    found += _loop_devices(entry.target)
    found += [str(copy) for copy in elsewhere if copy.lasting]
    return found


def _processes(mounts: Collection[int], dev: int) -> Iterator[str]:
    for pid in mountinfo.processes():
        try:
            how = _uses(pid, mounts, dev)
        except _UNSEEN:
            continue
        if how:
            yield f"process {_named(pid)}: {', '.join(how)}"


def _uses(pid: int, mounts: Collection[int], dev: int) -> list[str]:
    # The links of /proc/<pid> are magic: they lead to the very object, whatever its name is in the
    # namespace of the process.
    how = [name for name in ("cwd", "root", "exe") if _is_on(f"/proc/{pid}/{name}", mounts)]
    with os.scandir(f"/proc/{pid}/fd") as descriptors:
        how += [f"fd {fd.name}" for fd in descriptors if _is_on(fd.path, mounts)]
    if not how and _maps(pid, dev):
        how = ["mapped file"]
    return how


def _is_on(link: str, mounts: Collection[int]) -> bool:
    try:
        mount_id, _ = syscalls.mount_of(syscalls.AT_FDCWD, link, _AT_STATX_DONT_SYNC)
    except OSError:  # what a link leads to may be of any file system, and broken
        return False
    return mount_id in mounts


def _maps(pid: int, dev: int) -> bool:
    with open(f"/proc/{pid}/maps", "rb", buffering=0) as file:
        return b" %02x:%02x " % (os.major(dev), os.minor(dev)) in file.read()


def _loop_devices(target: bytes) -> Iterator[str]:
    # A loop device keeps its file open without a process; losetup(8).
    try:
        devices = sorted(name for name in os.listdir("/sys/block") if name.startswith("loop"))
    except _UNSEEN:
        return
    for name in devices:
        try:
            with open(f"/sys/block/{name}/loop/backing_file", "rb", buffering=0) as file:
                backing = file.read().rstrip(b"\n")
        except _UNSEEN:
            continue
        if backing.startswith(target + b"/"):
            yield f"{name}: {os.fsdecode(backing)}"


def copies(entry: MountEntry, table: Sequence[MountEntry] | None = None) -> list[Copy]:
    """Return where else the view of ``entry``, a mount of this namespace, is mounted.

    ``table`` is ``mountinfo()`` of now, if the caller has it. An overlay is a superblock of its own
    for each mount, so that another mount of the same one must be a copy. Views of one zfs snapshot
    share a superblock: copies are told by where they are mounted. Of other file systems nothing is
    returned.
    """
    if entry.fstype not in {"overlay", "zfs"}:
        return []
    here = mountinfo.mountinfo() if table is None else table
    own = {other.id for other in here}
    parent = next((other for other in here if other.id == entry.parent), None)
    needle = b" %d:%d " % (os.major(entry.dev), os.minor(entry.dev))
    target = entry.target if entry.fstype == "zfs" else None
    found = _copies(needle, entry.dev, own, parent)
    return [copy for copy in found if target in {None, copy.entry.target}]


def _copies(
    needle: bytes, dev: int, own: Collection[int], parent: MountEntry | None
) -> Iterator[Copy]:
    seen = set(own)
    for pid, there in _mountinfos(needle, others=True):
        fresh = [entry for entry in there if entry.dev == dev and entry.id not in seen]
        seen.update(entry.id for entry in fresh)
        if fresh:
            by_id = {entry.id: entry for entry in there}
            groups = _receiving(parent, there)
            for entry in fresh:
                above = by_id.get(entry.parent)
                follows = above is not None and bool({above.shared, above.master} & groups)
                yield Copy(pid, entry, lasting=not follows)


def _receiving(parent: MountEntry | None, there: list[MountEntry]) -> set[int]:
    # An unmount reaches the peers and slaves of the mount *on* which it happens, and the slaves of
    # those: the kernel's sharedsubtree page, 5d.
    groups = {parent.shared} if parent is not None and parent.shared else set()
    grown = bool(groups)
    while grown:
        more = {entry.shared for entry in there if entry.shared and entry.master in groups}
        grown = not more <= groups
        groups |= more
    return groups


def named_copies(source: bytes, target: bytes | None = None, number: int = 0) -> list[str]:
    """Say who holds a mount made from ``source``, in whatever namespace, this one included.

    Only of those on ``target``, where that is given, or of the mount with this ``number``.

    For what a namespace left behind: unlike its inode number, a source that is unique is told
    even where the namespaces of the processes are not (mountinfo is open to everyone).
    """
    seen: set[int] = set()
    found = []
    for pid, there in _mountinfos(b" %b " % source, others=False):
        fresh = {
            entry.id
            for entry in there
            if entry.source == source and (target in {None, entry.target} or entry.id == number)
        } - seen
        if fresh:
            found.append(f"process {_named(pid)}")
        seen |= fresh
    return found


#: Namespace and root directory: a process sees no mounts that lie outside of its root.
_View = tuple[str, int, int]


def _view(pid: int | str, whole: str = "") -> _View:
    namespace = os.readlink(f"/proc/{pid}/ns/mnt")
    if namespace == whole:
        return namespace, 0, 0
    root = os.stat(f"/proc/{pid}/root")
    return namespace, root.st_dev, root.st_ino


def _whole() -> str:
    """Return our namespace if we see all of it, so that no process there sees more; else "".

    That is where the first process is there too, and has the root that we have: nobody chroots
    (chroot(2)) init. All that is looked at of most processes then is their namespace.
    """
    try:
        own = _view("self")
        return own[0] if own == _view(1) else ""
    except _UNSEEN:
        return ""


def _mountinfos(needle: bytes, *, others: bool) -> Iterator[tuple[int, list[MountEntry]]]:
    # Each view once, where we may tell them apart, and our own unless only ``others`` are asked
    # for. Parsed only where it holds the needle.
    whole = _whole()
    views = {_view("self", whole)} if others else set()
    for pid in mountinfo.processes():
        view = None
        try:
            view = _view(pid, whole)
        except PermissionError:
            pass  # looked at, though perhaps not for the first time
        except _UNSEEN:
            continue
        if view in views:
            continue
        try:
            # One that is chrooted may be the first that is met in our namespace.
            data = mountinfo.read("self" if view and view[0] == whole else pid)
        except OSError:  # a zombie has no mounts: EINVAL
            continue
        if view:
            views.add(view)
        if needle in data:
            yield pid, mountinfo.parse(data)


def _named(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:
            name = os.fsdecode(file.read().rstrip(b"\n"))
    except _UNSEEN:
        return str(pid)
    return f"{pid} ({name})"
