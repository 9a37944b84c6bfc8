"""Compare a stored layer with its tar, without writing: every difference, by path.

What must lie on disk is worked out by ``layertree``, the same rules by which it was extracted; of
file content it keeps a digest, so that memory grows with the number of entries only. The tree is
then walked through descriptors, following nothing. Content is read from the disk, so that a
damaged block is found; access times may change where the file system keeps them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from layerfs import layerxattrs
from layerfs.apply import ApplyOptions
from layerfs.errors import from_os_error
from layerfs.handles import Handles
from layerfs.layertree import Directory, LayerTree, Node
from layerfs.tarstream import Member

if TYPE_CHECKING:
    from layerfs.tarstream import TarReader

_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK: Final = 1 << 20
#: Seconds that any file system keeps; beyond them it may keep the nearest that it can.
_LATEST: Final = 2**31 - 1
_EARLIEST: Final = -(2**31)

_TYPES: Final = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFSOCK: "socket",
}
#: Written by the kernel's security modules, on files that never asked for it.
_LABELS: Final = frozenset({
    b"security.selinux", b"security.SMACK64", b"security.ima", b"security.evm",
})  # fmt: skip

Problem = tuple[bytes, str]


def compare(reader: TarReader, root_fd: int, options: ApplyOptions | None = None) -> list[Problem]:
    """Return (path, problem) for each difference of the tree at ``root_fd``, sorted; empty: whole.

    ``options`` must be those that the layer was extracted with. What lies below a missing directory
    is not named again. Raises what the reader raises, and StorageError or PermissionDeniedError
    when a directory cannot be read; a file that cannot be read is a problem of that file.
    """
    comparison = _Comparison(reader, root_fd, options or ApplyOptions())
    comparison.run()
    return sorted(comparison.problems)


class _Comparison:
    def __init__(self, reader: TarReader, root_fd: int, options: ApplyOptions) -> None:
        self.problems: list[Problem] = []
        self._options = options
        self._lenient = options.squash_ids or options.drop_privileged_xattrs
        self._root_fd = root_fd
        self._handles = Handles(root_fd)
        self._linked: set[Node] = set()  #: have, or had, several names
        self._tree = self._expected(reader)
        self._path = b"."
        #: Of linked nodes: the inode found at their first name, and that name.
        self._first: dict[Node, tuple[int, bytes]] = {}
        #: Of inodes with several names on disk: how many, whose they are, and those found.
        self._names: dict[int, tuple[int, Node, list[bytes]]] = {}

    def _expected(self, reader: TarReader) -> LayerTree:
        """Read the whole tar: the tree that it makes, with digests of the files' content."""
        tree = LayerTree(reader.limits)
        for member in reader:
            step = tree.add(member)
            tree.made.clear()
            if step is None:
                continue
            if step.source is not None:
                self._linked.add(step.node)
                continue
            step.node.member = member
            if member.kind == "file":
                digest = hashlib.sha256()
                reader.copy(digest.update)
                step.node.digest = digest.digest()
        tree.settle()
        return tree

    def run(self) -> None:
        try:
            status = os.fstat(self._root_fd)
            self._metadata(
                self._tree.root, status, b"/proc/self/fd/%d" % self._root_fd, follow=True
            )
            astray: set[Directory] = set()  # not there, or something else: reported where it hangs
            for directory in self._tree.root.subtree():
                if directory in astray or directory.parent in astray:
                    astray.add(directory)
                    continue
                self._handles.trim()
                astray.update(self._directory(directory))
            for count, _node, found in self._names.values():
                if count != len(found):
                    self._report(
                        found[0], f"link: {count} names, {len(found)} of them in the layer"
                    )
        except OSError as error:
            raise from_os_error(error, "reading", self._path) from error
        finally:
            self._handles.close_all()

    def _report(self, path: bytes, problem: str) -> None:
        self.problems.append((path, problem))

    # --- names -----------------------------------------------------------------------------------

    def _directory(self, directory: Directory) -> list[Directory]:
        """Compare what is in a directory; return the directories that are not as such there."""
        self._path = directory.path()
        fd = self._handles.fd(directory)
        there = {os.fsencode(name) for name in os.listdir(fd)}
        astray = []
        for name, node in directory.children.items():
            path = self._path = directory.path(name)
            whole = False
            if name in there:
                there.discard(name)
                whole = self._entry(path, node, fd, name)
            elif not (self._lenient and node.kind in {"char", "block"}):
                self._report(path, "missing")
            if not whole and isinstance(node, Directory):
                astray.append(node)
        for name in directory.whiteouts():
            path = self._path = directory.path(name)
            if name not in there:
                self._report(path, "whiteout missing")
                continue
            there.discard(name)
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if not _is_whiteout(status):
                self._report(path, f"type: {_kind(status)} instead of whiteout")
        for name in there:
            self._report(directory.path(name), "not in the layer")
        return astray

    def _entry(self, path: bytes, node: Node, fd: int, name: bytes) -> bool:
        """Compare one entry; False when it is not of the right type."""
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        kind = _kind(status)
        if kind != node.kind:
            self._report(path, f"type: {kind} instead of {node.kind}")
            return False
        if node.kind != "dir" and self._is_known(path, node, status):
            return True
        self._metadata(node, status, b"/proc/self/fd/%d/%b" % (fd, name), follow=False)
        if node.kind == "file":
            self._content(node, status, fd, name)
        elif node.kind == "symlink":
            target = os.readlink(name, dir_fd=fd)
            if target != node.target:
                self._report(path, f"target: {target!r} instead of {node.target!r}")
        return True

    def _is_known(self, path: bytes, node: Node, status: os.stat_result) -> bool:
        """Compare a file's links; True for a further name of a file that was compared already."""
        inode = status.st_ino
        if status.st_nlink > 1:
            _, owner, found = self._names.setdefault(inode, (status.st_nlink, node, []))
            found.append(path)
            if owner is not node:
                self._report(path, f"link: the same file as {found[0]!r}")
        if node not in self._linked:
            return False
        first = self._first.setdefault(node, (inode, path))
        if first[1] == path:
            return False
        if first[0] != inode:
            self._report(path, f"link: not the same file as {first[1]!r}")
            return False
        return True

    # --- metadata --------------------------------------------------------------------------------

    def _metadata(self, node: Node, status: os.stat_result, where: bytes, *, follow: bool) -> None:
        path = self._path
        member = node.member or Member(path, "dir", 0o755)
        expected = layerxattrs.stored(member.xattrs, self._options) if member.xattrs else {}
        if node.kind != "symlink":
            mode = layerxattrs.mode_with_acl(member.mode, expected)
            if stat.S_IMODE(status.st_mode) != mode:
                self._report(
                    path, f"mode: {stat.S_IMODE(status.st_mode):04o} instead of {mode:04o}"
                )
        if not self._options.squash_ids:
            owner = f"{status.st_uid}:{status.st_gid}"
            if owner != f"{member.uid}:{member.gid}":
                self._report(path, f"owner: {owner} instead of {member.uid}:{member.gid}")
        if not _same_time(status.st_mtime_ns, member.mtime_ns):
            self._report(path, f"mtime: {status.st_mtime_ns} instead of {member.mtime_ns} ns")
        if node.kind in {"char", "block"}:
            device = os.major(status.st_rdev), os.minor(status.st_rdev)
            if device != member.rdev:
                self._report(path, f"device: {device} instead of {member.rdev}")
        if isinstance(node, Directory) and node.opaque:
            expected[layerxattrs.opaque_name(self._options)] = b"y"
        self._xattrs(expected, _xattrs_of(where, follow=follow))

    def _xattrs(self, expected: Mapping[bytes, bytes], found: Mapping[bytes, bytes]) -> None:
        for name in sorted({*expected, *found}):
            if name not in found:
                if name != layerxattrs.CAPABILITY or not self._lenient:
                    self._report(self._path, f"xattr {name!r}: missing")
            elif name not in expected:
                if name not in _LABELS:
                    self._report(self._path, f"xattr {name!r}: not in the layer")
            elif found[name] != expected[name]:
                self._report(
                    self._path, f"xattr {name!r}: {found[name]!r} instead of {expected[name]!r}"
                )

    # --- content ---------------------------------------------------------------------------------

    def _content(self, node: Node, status: os.stat_result, fd: int, name: bytes) -> None:
        member = node.member
        if member is None or status.st_size != member.size:
            wanted = 0 if member is None else member.size
            self._report(self._path, f"size: {status.st_size} instead of {wanted}")
            return
        try:
            file = os.open(name, _FILE, dir_fd=fd)
            try:
                runs = [(0, member.size)] if member.sparse is None else member.sparse
                same = _digest(file, runs) == node.digest and (
                    member.sparse is None or _holes_are_zero(file, runs, member.size)
                )
            finally:
                os.close(file)
        except OSError as error:
            self._report(self._path, f"content: cannot be read: {error.strerror}")
            return
        if not same:
            self._report(self._path, "content: differs")


def _kind(status: os.stat_result) -> str:
    return "whiteout" if _is_whiteout(status) else _TYPES[stat.S_IFMT(status.st_mode)]


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _same_time(found: int, expected: int) -> bool:
    if found == expected:
        return True
    seconds, wanted = found // 1_000_000_000, expected // 1_000_000_000
    return _LATEST <= seconds < wanted or wanted < seconds <= _EARLIEST


def _xattrs_of(where: bytes, *, follow: bool) -> dict[bytes, bytes]:
    try:
        names = [os.fsencode(name) for name in os.listxattr(where, follow_symlinks=follow)]
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return {}
    # Other "system." names are views of what is compared already (NFSv4 ACLs of the mode).
    return {
        name: os.getxattr(where, name, follow_symlinks=follow)
        for name in names
        if not name.startswith(b"system.") or name in layerxattrs.ACLS
    }


def _digest(file: int, runs: list[tuple[int, int]]) -> bytes:
    """Return the digest of the runs, one after the other, as the tar stores them."""
    digest = hashlib.sha256()
    for offset, length in runs:
        at, end = offset, offset + length
        while at < end:
            data = os.pread(file, min(end - at, _CHUNK), at)
            if not data:
                break
            digest.update(data)
            at += len(data)
    return digest.digest()


def _holes_are_zero(file: int, runs: list[tuple[int, int]], size: int) -> bool:
    """Say whether all between the runs is zero; real holes are passed over unread (lseek(2))."""
    start = 0
    for offset, length in [*runs, (size, 0)]:
        while start < offset:
            try:
                start = os.lseek(file, start, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return True  # no data up to the end
            if start >= offset:
                break
            end = min(os.lseek(file, start, os.SEEK_HOLE), offset, start + _CHUNK)
            if os.pread(file, end - start, start).strip(b"\0"):
                return False
            start = end
        start = max(start, offset + length)
    return True
