"""What was done to a clone of a tree, as the tar of one layer: the same that overlayfs would keep.

A clone begins with the inodes of its origin. What was not touched has the same inode number and the
same ctime still, which nobody can set (inode(7)); everything else is a change, also an edit of
equal size whose mtime was put back. So no content is read but that which is written.

The tar is that of an upperdir in which the same was done (``layerfs.diff``), byte for byte:

- what is new or touched, with the directories on the way to it;
- a whiteout for each name that has gone;
- an opaque marker for a new directory that stands where the origin had something of that name, in a
  directory that both have.

A renamed directory is a new one with all that it holds: a layer cannot say more. Files with several
names are one inode here, where overlayfs would have broken the links of lower layers: they are
written as links.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from layerfs.backends.shim import same_metadata
from layerfs.errors import from_os_error
from layerfs.merge import write_trees
from layerfs.ondisk import Descriptors, Directory, Entry

if TYPE_CHECKING:
    from layerfs.backends import Sink

#: The changed names of a directory: what lies below, None for what is no directory of both trees.
_Changes = dict[bytes, "_Both | None"]
_PIECE: Final = 1 << 20
_GONE: Final = (FileNotFoundError, NotADirectoryError)


def write_difference(
    before_fd: int, after_fd: int, sink: Sink, *, source_date_epoch: int | None = None
) -> None:
    """Write what makes the tree at ``after_fd`` of that at ``before_fd`` as a layer's tar.

    Neither changes meanwhile. Times after ``source_date_epoch`` (seconds) are written as that.
    Raises InvalidLayerPathError for a name that a layer cannot hold (".wh.…"), StorageError and
    PermissionDeniedError when a tree cannot be read.
    """
    pool = Descriptors()
    try:
        before, after = Directory.root(pool, 0, before_fd), Directory.root(pool, 0, after_fd)
        changes = _compared(before, after)
        root = _ChangedDirectory(pool, after_fd, changes)
        same = same_metadata(b"/proc/self/fd/%d/." % before_fd, b"/proc/self/fd/%d/." % after_fd)
        implicit = frozenset({b"."} if same else ())
        latest = None if source_date_epoch is None else source_date_epoch * 1_000_000_000
        write_trees([(root, implicit)], sink, latest_ns=latest)
    except OSError as error:
        raise from_os_error(error, "reading the view's changes") from error
    finally:
        pool.close_all()


def unreadable(before_fd: int | None, after_fd: int) -> list[tuple[bytes, str]]:
    """Read all that is new or touched in the tree at ``after_fd``; return (path, problem), sorted.

    All of it, where ``before_fd`` is None. ZFS holds each block against its checksum, so that what
    can be read is what was written (zfsconcepts(7)).
    """
    pool = Descriptors()
    problems: list[tuple[bytes, str]] = []
    try:
        both = None
        if before_fd is not None:
            both = _compared(Directory.root(pool, 0, before_fd), Directory.root(pool, 0, after_fd))
        waiting: list[tuple[bytes, Directory]] = [(b"", _ChangedDirectory(pool, after_fd, both))]
        while waiting:
            path, directory = waiting.pop()
            try:
                entries = directory.entries("", files_may_be_whiteouts=False)
            except OSError as error:
                problems.append((path or b".", f"cannot be read: {error.strerror}"))
                continue
            for entry in entries:
                below = path + b"/" + entry.name if path else entry.name
                try:
                    if entry.kind == "dir":
                        waiting.append((below, directory.child(entry.name)))
                    elif entry.kind == "file":
                        _read_through(directory, entry.name)
                except OSError as error:
                    problems.append((below, f"content: cannot be read: {error.strerror}"))
    except OSError as error:
        problems.append((b".", f"cannot be read: {error.strerror}"))
    finally:
        pool.close_all()
    return sorted(problems)


def _read_through(directory: Directory, name: bytes) -> None:
    fd = directory.open_file(name)
    try:
        while os.read(fd, _PIECE):
            pass
    finally:
        os.close(fd)


class _Both:
    """A directory that both trees have as the same one, and what has changed in it."""

    __slots__ = ("changed", "gone", "replaced", "touched")

    def __init__(self) -> None:
        self.changed: _Changes = {}
        self.replaced: set[bytes] = set()
        self.gone: list[bytes] = []
        self.touched = False

    @property
    def says(self) -> bool:
        """Whether the layer has an entry for it."""
        return self.touched or bool(self.changed) or bool(self.gone)


class _Pair:
    """A directory of both trees that is being compared."""

    def __init__(self, name: bytes, before: Directory, after: Directory, found: _Both) -> None:
        self.name = name
        self.before = before
        self.after = after
        self.found = found
        old, new = _names(before), _names(after)
        found.gone = sorted(old - new)
        self.left = sorted(new)
        self.old = old


def _compared(before: Directory, after: Directory) -> _Both:
    """Compare two trees; nothing is kept of what is the same in both."""
    root = _Both()
    pairs = [_Pair(b"", before, after, root)]
    while pairs:
        pair = pairs[-1]
        below = _next_pair(pair)
        if below is not None:
            pairs.append(below)
            continue
        pairs.pop()
        if pairs:
            if pair.found.says:
                pairs[-1].found.changed[pair.name] = pair.found
            pair.before.close()
            pair.after.close()
    return root


def _next_pair(pair: _Pair) -> _Pair | None:
    """Compare names up to the next directory that both have."""
    while pair.left:
        name = pair.left.pop()
        new = pair.after.status(name)
        if stat.S_ISSOCK(new.st_mode):
            # No layer can say it: as with an upperdir, only what it stands over is gone.
            if name in pair.old:
                pair.found.gone.append(name)
            continue
        old = pair.before.status(name) if name in pair.old else None
        same = old is not None and _is_same(old, new)
        if same and stat.S_ISDIR(new.st_mode):
            assert old is not None
            found = _Both()
            found.touched = _metadata(old) != _metadata(new)
            return _Pair(name, pair.before.child(name), pair.after.child(name), found)
        if not same or (old is not None and old.st_ctime_ns != new.st_ctime_ns):
            pair.found.changed[name] = None
            if old is not None:
                pair.found.replaced.add(name)
    return None


def _names(directory: Directory) -> set[bytes]:
    return {os.fsencode(name) for name in os.listdir(directory.fileno())}


def _is_same(old: os.stat_result, new: os.stat_result) -> bool:
    """Whether it is the very inode, and not another that was made in its place."""
    return old.st_ino == new.st_ino and stat.S_IFMT(old.st_mode) == stat.S_IFMT(new.st_mode)


def _metadata(seen: os.stat_result) -> tuple[int, ...]:
    return seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, seen.st_ctime_ns


class _ChangedDirectory(Directory):
    """A directory of the changed tree that shows what has changed alone, as an upperdir does.

    ``both`` is None for a directory that is new, of which everything has.
    """

    __slots__ = ("_both", "_is_opaque")

    def __init__(
        self,
        pool: Descriptors,
        fd: int,
        both: _Both | None,
        *,
        name: bytes = b"",
        parent: _ChangedDirectory | None = None,
    ) -> None:
        super().__init__(pool, 0, name, parent)
        self.fd = fd
        self._both = both
        self._is_opaque = both is None and parent is not None and parent.had(name)

    def had(self, name: bytes) -> bool:
        """Whether this directory was there before, and had something else of this name."""
        return self._both is not None and name in self._both.replaced

    def child(self, name: bytes) -> Directory:
        """Return the directory ``name`` in this one, open."""
        both = None if self._both is None else self._both.changed[name]
        directory = _ChangedDirectory(self.pool, -1, both, name=name, parent=self)
        directory.fileno()
        return directory

    def opaque(self, prefix: str) -> str:  # noqa: ARG002
        """Return "y" for a new directory that hides what the origin has there."""
        return "y" if self._is_opaque else ""

    def entries(self, prefix: str, *, files_may_be_whiteouts: bool) -> list[Entry]:
        """Return what an upperdir would hold here."""
        if self._both is None:
            return super().entries(prefix, files_may_be_whiteouts=files_may_be_whiteouts)
        entries = [Entry(name, "whiteout", None) for name in self._both.gone]
        for name in self._both.changed:
            try:
                seen = self.status(name)
            except _GONE as error:  # of a snapshot: its disk is damaged
                raise OSError(errno.EIO, os.strerror(errno.EIO), os.fsdecode(name)) from error
            kind = stat.S_IFMT(seen.st_mode)
            if kind == stat.S_IFDIR:
                entries.append(Entry(name, "dir", None))
            elif kind == stat.S_IFREG:
                entries.append(Entry(name, "file", None))
            else:
                entries.append(Entry(name, "other", seen))
        return entries
