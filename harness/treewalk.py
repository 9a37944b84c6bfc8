"""Walks trees on the host: exact, in one pass, whatever the names, depth or permissions are.

Standard library only and fit for Python 3.9: the observer takes it along to the host. Paths are
text with lone surrogates for bytes that are not UTF-8 (the observer runs in UTF-8 mode). Nothing is
followed, nothing is written, and access times are left alone wherever the kernel allows that.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any

_CHUNK = 1024 * 1024
_NOT_FOLLOWED = os.O_NOFOLLOW | os.O_NONBLOCK
#: Labels that the host's own policy puts on every file; no layer carries them.
_HOST_LABELS = frozenset({"security.selinux", "security.ima", "security.evm"})

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFSOCK: "socket",
}


def kind(mode: int) -> str:
    """Return the word for a file's type."""
    return _KINDS[stat.S_IFMT(mode)]


def open_quietly(path: str, flags: int = _NOT_FOLLOWED, dir_fd: int | None = None) -> int:
    """Open for reading without changing the access time, where we may (open(2), O_NOATIME)."""
    flags |= os.O_RDONLY | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_NOATIME, dir_fd=dir_fd)
    except PermissionError:  # neither the owner nor privileged: the time changes
        return os.open(path, flags, dir_fd=dir_fd)


def open_directory(path: str, dir_fd: int | None = None) -> int:
    """Open a directory, which no symlink stands for, as quietly."""
    return open_quietly(path, _NOT_FOLLOWED | os.O_DIRECTORY, dir_fd)


def walk(
    root: str, enter: Callable[[str, os.DirEntry[str], int], bool]
) -> Iterator[tuple[str, os.DirEntry[str], int]]:
    """Yield (path relative to ``root``, entry, descriptor of its directory), parents first, sorted.

    A directory is entered when ``enter``, called with the same three, says so. Everything is
    relative to descriptors, so that paths may be longer than PATH_MAX; one descriptor is open for
    each level. Raises OSError.
    """
    stack = [_level(open_directory(root), "")]
    try:
        while stack:
            descriptor, prefix, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                os.close(stack.pop()[0])
                continue
            path = prefix + entry.name
            yield path, entry, descriptor
            if entry.is_dir(follow_symlinks=False) and enter(path, entry, descriptor):
                child = open_directory(entry.name, descriptor)
                stack.append(_level(child, path + "/"))
    finally:
        for descriptor, _, _ in stack:
            os.close(descriptor)


def _level(descriptor: int, prefix: str) -> tuple[int, str, Iterator[os.DirEntry[str]]]:
    try:
        with os.scandir(descriptor) as entries:
            return descriptor, prefix, iter(sorted(entries, key=lambda entry: entry.name))
    except OSError:
        os.close(descriptor)
        raise


def tree(root: str, *, times: bool = False, below: bool = True) -> list[dict[str, Any]]:
    """Return every path at and, if asked, ``below`` root (``"."``, which may be any kind of file).

    Each is a dict of the fields of :class:`harness.tree.Node` but ``links``; instead, paths with
    more than one link have ``inode``, [device, number], and share it with their other names. With
    ``times`` there are also ``ctime_ns``, and ``atime_ns`` but of symlinks. Empty values are
    left out. xattrs are [name, base64] pairs, sorted. Raises OSError when anything cannot be read.
    """
    seen: dict[tuple[int, int], str] = {}
    status = os.lstat(root)
    rows = [_row(".", status, seen, named=root, name=root, directory=None, times=times)]
    if below and stat.S_ISDIR(status.st_mode):
        for path, entry, descriptor in walk(root, lambda *_: True):
            status = os.stat(entry.name, dir_fd=descriptor, follow_symlinks=False)
            # There is no lgetxattrat(2) in Python; /proc/self/fd stands in for the descriptor.
            named = f"/proc/self/fd/{descriptor}/{entry.name}"
            rows.append(
                _row(
                    path, status, seen,
                    named=named, name=entry.name, directory=descriptor, times=times,
                )
            )  # fmt: skip
    return rows


def _row(
    path: str,
    status: os.stat_result,
    seen: dict[tuple[int, int], str],
    *,
    named: str,
    name: str,
    directory: int | None,
    times: bool,
) -> dict[str, Any]:
    what = kind(status.st_mode)
    row: dict[str, Any] = {
        "path": path,
        "kind": what,
        "mode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mtime_ns": status.st_mtime_ns,
    }
    if times:
        row["ctime_ns"] = status.st_ctime_ns
        if what != "symlink":  # readlink(2) changes it, and knows no O_NOATIME
            row["atime_ns"] = status.st_atime_ns
    inode = (status.st_dev, status.st_ino)
    linked = what != "dir" and status.st_nlink > 1
    if linked:
        row["inode"] = inode
    if what == "file":
        row["size"] = status.st_size
        row["sha256"] = (linked and seen.get(inode)) or _sha256(name, directory)
        seen[inode] = row["sha256"]
    elif what == "symlink":
        row["target"] = os.readlink(name, dir_fd=directory)
    elif what in {"char", "block"}:
        row["rdev"] = [os.major(status.st_rdev), os.minor(status.st_rdev)]
    attributes = xattrs(named)
    if attributes:
        row["xattrs"] = attributes
    return row


def xattrs(path: str) -> list[tuple[str, str]]:
    """Return the extended attributes of the very path, sorted, values in base64.

    A file system without them has none. Raises OSError.
    """
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:  # as procfs says
            return []
        raise
    return [
        (name, base64.b64encode(os.getxattr(path, name, follow_symlinks=False)).decode("ascii"))
        for name in sorted(names)
        if name not in _HOST_LABELS
    ]


def _sha256(name: str, directory: int | None) -> str:
    descriptor = open_quietly(name, dir_fd=directory)
    try:
        digest = hashlib.sha256()
        while True:
            data = os.read(descriptor, _CHUNK)
            if not data:
                return digest.hexdigest()
            digest.update(data)
    finally:
        os.close(descriptor)


def remove(path: str) -> None:
    """Remove a path and all below it; what does not exist is removed already.

    Never enters a mount, so that nothing mounted there is ever emptied: OSError with EBUSY then,
    and whatever was removed before it is gone.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(path)
        return
    parent = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _remove_directory(parent, os.path.basename(path))
    finally:
        os.close(parent)


def _remove_directory(parent: int, name: str) -> None:
    """Remove a directory, children first, without recursion and without long paths."""
    mount = _mount_id(parent)
    stack: list[tuple[int, str, int, list[str]]] = []
    next_up = (parent, name)
    try:
        while True:
            above, name = next_up
            own = open_directory(name, above)
            stack.append((above, name, own, []))
            if _mount_id(own) != mount:
                raise OSError(errno.EBUSY, "a file system is mounted there", name)
            stack[-1][3].extend(_unlink_all_but_full_directories(own))
            while stack and not stack[-1][3]:
                above, name, own, _ = stack.pop()
                os.close(own)
                os.rmdir(name, dir_fd=above)
            if not stack:
                return
            next_up = (stack[-1][2], stack[-1][3].pop())
    finally:
        for _, _, own, _ in stack:
            os.close(own)


def _unlink_all_but_full_directories(directory: int) -> list[str]:
    """Remove what can go at once, and return the directories that must be emptied first."""
    full = []
    with os.scandir(directory) as entries:
        names = list(entries)
    for entry in names:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=directory)
            continue
        try:
            os.rmdir(entry.name, dir_fd=directory)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY}:
                raise
            full.append(entry.name)
    return full


def _mount_id(descriptor: int) -> int:
    """Return which mount a descriptor is on (proc_pid_fdinfo(5))."""
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["mnt_id"])
