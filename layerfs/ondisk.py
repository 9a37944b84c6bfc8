"""Read trees in overlayfs's on-disk form: what each directory holds, and each inode as a Member.

The form is that of Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories": a
character device 0:0 is a whiteout, the attribute ``overlay.opaque`` = "y" makes a directory opaque,
and in a directory with ``overlay.opaque`` = "x" an empty file with ``overlay.whiteout`` is one
more. The attributes count in one namespace only, ``trusted.`` or ``user.`` (``userxattr``).

Everything is opened relative to its directory's descriptor with O_NOFOLLOW and O_NONBLOCK: no
symlink is followed, and no fifo is waited for. Nothing is written. OSErrors are passed on as they
are; callers know whether a tree may change under them.
"""

from __future__ import annotations

import errno
import os
import resource
import stat
from typing import Final, Literal, NamedTuple

from layerfs.tarstream import Kind as MemberKind
from layerfs.tarstream import Member

#: What a name stands for, as far as its directory tells.
Kind = Literal["dir", "file", "whiteout", "other"]

_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_DIR: Final = _OPEN | os.O_DIRECTORY

#: Never part of a layer: what overlayfs notes for itself, and labels that belong to the host.
_OVERLAY: Final = ("trusted.overlay.", "user.overlay.")
_OF_THE_HOST: Final = frozenset({"security.selinux", "system.nfs4_acl"})
_TOO_MANY: Final = frozenset({errno.EMFILE, errno.ENFILE})
#: A file system or kernel without attributes says one of these.
_NO_XATTRS: Final = frozenset({errno.ENOTSUP, errno.ENOSYS})


class Entry(NamedTuple):
    """One name of a directory; ``seen`` is its status where finding the kind needed one."""

    name: bytes
    kind: Kind
    seen: os.stat_result | None


class Descriptors:
    """The directories that are open now, of all that a walk knows.

    At most half of what this process may have open, and fewer where that is too much. The oldest
    is closed first: in a walk it is the shallowest, which is needed last.
    """

    def __init__(self) -> None:
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._limit = max(8, soft // 2) if soft != resource.RLIM_INFINITY else 4096
        self._open: dict[Directory, None] = {}

    def open(self, name: bytes, flags: int, directory: Directory) -> int:
        """Open ``name`` in ``directory``, and close others if there are too many open files."""
        while True:
            fd = directory.fd if directory.fd >= 0 else directory.fileno()
            try:
                return os.open(name, flags, dir_fd=fd)
            except OSError as error:
                if error.errno not in _TOO_MANY or len(self._open) < 2:
                    raise
            self._limit = len(self._open) // 2
            self._close_oldest()

    @property
    def nearest(self) -> int:
        """How many directories of one way to the root are worth keeping open."""
        return self._limit // 8

    def opened(self, directory: Directory) -> None:
        """Take note of an open directory, and close the oldest if there are too many."""
        self._open[directory] = None
        self._close_oldest()

    def closed(self, directory: Directory) -> None:
        """Forget a directory."""
        self._open.pop(directory, None)

    def close_all(self) -> None:
        """Close all that is still open."""
        for directory in list(self._open):
            directory.close()

    def _close_oldest(self) -> None:
        while len(self._open) > self._limit:
            next(iter(self._open)).close()


class Directory:
    """A directory of one layer's tree, opened when it is needed and again after being closed.

    ``layer`` is the index of the layer. ``fd`` is -1 while it is closed: ask ``fileno``.
    """

    __slots__ = ("fd", "layer", "name", "parent", "pool")

    def __init__(
        self, pool: Descriptors, layer: int, name: bytes = b"", parent: Directory | None = None
    ) -> None:
        self.pool = pool
        self.layer = layer
        self.name = name
        self.parent = parent
        self.fd = -1

    @classmethod
    def root(cls, pool: Descriptors, layer: int, fd: int) -> Directory:
        """Return the root of a tree; its descriptor stays the caller's, and is never closed."""
        directory = cls(pool, layer)
        directory.fd = fd
        return directory

    def child(self, name: bytes) -> Directory:
        """Return the directory ``name`` in this one, open."""
        directory = Directory(self.pool, self.layer, name, self)
        directory.fileno()
        return directory

    def fileno(self) -> int:
        """Return a descriptor that is good until another directory is asked for its own."""
        if self.fd < 0:
            closed: list[Directory] = []
            above: Directory | None = self
            while above is not None and above.fd < 0:
                closed.append(above)
                above = above.parent
            # Only the nearest stay open: several layers' walks must not close each other's.
            for distance in reversed(range(len(closed))):
                directory = closed[distance]
                assert directory.parent is not None, "a root is never closed"
                directory.fd = self.pool.open(directory.name, _OPEN_DIR, directory.parent)
                self.pool.opened(directory)
                if self.pool.nearest < distance + 1 < len(closed):
                    directory.parent.close()
        return self.fd

    def close(self) -> None:
        """Close the descriptor, unless it is the root's; done twice, it is fine."""
        if self.parent is not None and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self.pool.closed(self)

    def opaque(self, prefix: str) -> str:
        """Return "y" (hides all below), "x" (may hold whiteouts that are files), or "" (neither).

        ``prefix`` is that of overlayfs's own attributes: "trusted.overlay." or "user.overlay.".
        """
        fd = self.fileno()
        if prefix + "opaque" not in _names(fd):
            return ""
        return os.getxattr(fd, prefix + "opaque").decode("ascii", "replace")

    def entries(self, prefix: str, *, files_may_be_whiteouts: bool) -> list[Entry]:
        """Return what this directory holds, in no order; names that vanish meanwhile are left out.

        ``files_may_be_whiteouts`` is for a directory whose ``opaque`` is "x".
        """
        listed: list[tuple[bytes, Kind]] = []
        with os.scandir(self.fileno()) as found:
            for one in found:
                kind: Kind = "other"
                if one.is_dir(follow_symlinks=False):
                    kind = "dir"
                elif one.is_file(follow_symlinks=False):
                    kind = "file"
                listed.append((os.fsencode(one.name), kind))
        entries = []
        for name, kind in listed:
            entry: Entry | None = Entry(name, kind, None)
            if kind == "other" or (kind == "file" and files_may_be_whiteouts):
                entry = self.look(name, prefix, files_may_be_whiteouts=files_may_be_whiteouts)
            if entry is not None:
                entries.append(entry)
        return entries

    def look(
        self, name: bytes, prefix: str, *, files_may_be_whiteouts: bool = False
    ) -> Entry | None:
        """Return what ``name`` is now; None when it, or this directory, has gone."""
        try:
            seen = self.status(name)
            form = stat.S_IFMT(seen.st_mode)
            kind: Kind = "other"
            if form == stat.S_IFDIR:
                kind = "dir"
            elif form == stat.S_IFREG:
                kind = "file"
                if files_may_be_whiteouts and not seen.st_size:
                    marked = prefix + "whiteout" in _names(self._unopened(name))
                    kind = "whiteout" if marked else "file"
            elif form == stat.S_IFCHR and seen.st_rdev == 0:
                kind = "whiteout"
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Entry(name, kind, seen)

    def open_file(self, name: bytes) -> int:
        """Open something for reading, a symlink excepted (ELOOP); the caller closes it."""
        return self.pool.open(name, _OPEN, self)

    def status(self, name: bytes) -> os.stat_result:
        """Return the status of a name, of a symlink itself."""
        return os.stat(name, dir_fd=self.fileno(), follow_symlinks=False)

    def special(self, path: bytes, name: bytes, seen: os.stat_result) -> Member | None:
        """Return the Member of what is neither directory nor regular file; None for a socket.

        A socket is no part of a layer: it means nothing without the process that listens.
        """
        kind = _KINDS.get(stat.S_IFMT(seen.st_mode))
        if kind is None:
            return None
        link = os.readlink(name, dir_fd=self.fileno()) if kind == "symlink" else b""
        rdev = (os.major(seen.st_rdev), os.minor(seen.st_rdev))
        return member(path, kind, seen, attributes(self._unopened(name)), linkname=link, rdev=rdev)

    def _unopened(self, name: bytes) -> bytes:
        # There is no listxattrat(2) before Linux 6.13. The magic link leads to the open directory
        # itself, not to its path, and the last component is not followed.
        return b"/proc/self/fd/%d/%b" % (self.fileno(), name)


_KINDS: Final[dict[int, MemberKind]] = {
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}


def member(
    path: bytes,
    kind: MemberKind,
    seen: os.stat_result,
    xattrs: dict[bytes, bytes],
    *,
    linkname: bytes = b"",
    rdev: tuple[int, int] = (0, 0),
) -> Member:
    """Return the Member that stands for an inode at ``path``."""
    size = seen.st_size if kind == "file" else 0
    # In their order, since there are so many of them: name, kind, mode, uid, gid, mtime_ns, size,
    # linkname, rdev, xattrs, sparse, stored_size.
    return Member(
        path, kind, seen.st_mode & 0o7777, seen.st_uid, seen.st_gid, seen.st_mtime_ns, size,
        linkname, rdev, xattrs, None, size,
    )  # fmt: skip


def attributes(of: int | bytes) -> dict[bytes, bytes]:
    """Return the extended attributes that belong to a layer: capabilities and ACLs among them.

    ``of`` is a descriptor, or a path whose last component is not followed. What overlayfs keeps
    for itself is left out in both namespaces, and so are the labels of this host
    (``security.selinux``, ``system.nfs4_acl``), as umoci does.
    """
    names = _names(of)
    if not names:
        return {}
    kept = {}
    for name in names:
        if name.startswith(_OVERLAY) or name in _OF_THE_HOST:
            continue
        try:
            value = os.getxattr(of, name, follow_symlinks=isinstance(of, int))
        except OSError as error:
            if error.errno == errno.ENODATA:
                continue  # removed since it was listed
            raise
        kept[os.fsencode(name)] = value
    return kept


def _names(of: int | bytes) -> list[str]:
    try:
        return os.listxattr(of, follow_symlinks=isinstance(of, int))
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return []
        raise
