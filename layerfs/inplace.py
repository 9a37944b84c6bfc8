"""Apply one layer to the tree of those below it, in place: how a chain of datasets is made.

The layer is extracted by ``apply`` into a directory of its own within that tree, in the form of
overlayfs, so that the same code decides what a member may do. Then what it says is done to the
tree: whiteouts and opaque markers delete, directories merge, and everything else is moved to its
place, whole subtrees at once where the tree has none. The result is what an overlay of the layers
would show, without a whiteout or a mark of overlayfs in it.

The tree is private to the caller, who throws it away after an error. It must be possible to do
anything to it (root), and it must be one file system.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerfs.apply import ApplyOptions, ApplyReport, apply
from layerfs.backends.shim import copy_metadata
from layerfs.errors import from_os_error
from layerfs.layerxattrs import opaque_name
from layerfs.ondisk import Descriptors, Directory
from layerfs.removal import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.tarstream import TarReader

#: No entry of a layer can have this name (whiteout.classify refuses it).
_SCRATCH: Final = b".wh..wh.layer"
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def apply_in_place(
    reader: TarReader, root_fd: int, *, first: bool, options: ApplyOptions | None = None
) -> ApplyReport:
    """Apply the layer of ``reader`` to the tree at ``root_fd``, that of the layers below it.

    With ``first`` there are none, and the root has the layer's metadata, whatever that says of it.
    Raises as ``apply``; the tree is in disorder then, and so it is when this process dies
    meanwhile.
    """
    options = options or ApplyOptions()
    try:
        times = os.fstat(root_fd)
        os.mkdir(_SCRATCH, 0o700, dir_fd=root_fd)
        scratch = os.open(_SCRATCH, _DIRECTORY, dir_fd=root_fd)
    except OSError as error:
        raise from_os_error(error, "preparing the layer") from error
    try:
        report = apply(reader, scratch, options=options)
        decides = first or b"." not in report.implicit
        if decides:
            times = os.fstat(scratch)
        _Fold(scratch, root_fd, report, opaque_name(options)).run()
        if decides:
            copy_metadata(_magic(scratch), _magic(root_fd))
    except OSError as error:
        raise from_os_error(error, "applying the layer") from error
    finally:
        os.close(scratch)
    remove_tree(os.fsdecode(_magic(root_fd, _SCRATCH)))
    try:
        _set_times(root_fd, times)
    except OSError as error:
        raise from_os_error(error, "applying the layer") from error
    return report


def _magic(fd: int, name: bytes = b".") -> bytes:
    return b"/proc/self/fd/%d/%b" % (fd, name)


def _set_times(fd: int, seen: os.stat_result) -> None:
    os.utime(fd, ns=(seen.st_atime_ns, seen.st_mtime_ns))


@dataclass(slots=True)
class _Frame:
    """A directory that both have: its names still to be done, and the times that it is to have."""

    path: bytes
    layer: Directory
    tree: Directory
    names: Iterator[bytes]
    times: os.stat_result


class _Fold:
    """Moves what lies at ``layer_fd`` into the tree at ``tree_fd``."""

    def __init__(self, layer_fd: int, tree_fd: int, report: ApplyReport, opaque: bytes) -> None:
        self._implicit = frozenset(report.implicit)
        self._opaque = frozenset(report.opaque)
        self._marked = sorted({*report.whiteouts, *report.opaque} - {b"."})
        self._mark = opaque
        self._pool = Descriptors()
        self._layer = Directory.root(self._pool, 0, layer_fd)
        self._tree = Directory.root(self._pool, 1, tree_fd)

    def run(self) -> None:
        """Do all of it but the root's own metadata. OSError."""
        try:
            if b"." in self._opaque:
                self._empty(self._tree)
            frames = [self._frame(b"", self._layer, self._tree)]
            while frames:
                below = self._next_directory(frames[-1])
                if below is not None:
                    frames.append(below)
                    continue
                done = frames.pop()
                if frames:
                    self._finish(done)
            self._clean()
        finally:
            self._pool.close_all()

    def _frame(self, path: bytes, layer: Directory, tree: Directory) -> _Frame:
        names = [os.fsencode(name) for name in os.listdir(layer.fileno())]
        decides = tree if path in self._implicit else layer
        return _Frame(path, layer, tree, iter(names), os.fstat(decides.fileno()))

    def _next_directory(self, frame: _Frame) -> _Frame | None:
        """Do names up to the next directory that the tree has as well, and return that."""
        for name in frame.names:
            path = frame.path + b"/" + name if frame.path else name
            seen = frame.layer.status(name)
            if _is_whiteout(seen):
                self._remove(frame.tree, name)
                continue
            if stat.S_ISDIR(seen.st_mode) and self._is_directory(frame.tree, name):
                if path not in self._opaque:
                    return self._frame(path, frame.layer.child(name), frame.tree.child(name))
                if path in self._implicit:
                    # A marker removes what is in the directory, and leaves the directory itself.
                    below = self._frame(path, frame.layer.child(name), frame.tree.child(name))
                    self._empty(below.tree)
                    return below
            self._move(frame, name, seen)
        return None

    def _move(self, frame: _Frame, name: bytes, seen: os.stat_result) -> None:
        replaced = self._look(frame.tree, name)
        if replaced is not None and (stat.S_ISDIR(replaced.st_mode) or stat.S_ISDIR(seen.st_mode)):
            self._remove(frame.tree, name)
        os.rename(name, name, src_dir_fd=frame.layer.fileno(), dst_dir_fd=frame.tree.fileno())

    def _finish(self, frame: _Frame) -> None:
        """Give a merged directory its metadata, after all that was moved into it."""
        if frame.path not in self._implicit:
            copy_metadata(_magic(frame.layer.fileno()), _magic(frame.tree.fileno()))
        _set_times(frame.tree.fileno(), frame.times)
        frame.layer.close()
        frame.tree.close()

    def _clean(self) -> None:
        """Take overlayfs's own marks from directories that were moved as they were."""
        for path in self._marked:
            directory = self._tree
            try:
                for name in path.split(b"/"):
                    directory = directory.child(name)
            except (FileNotFoundError, NotADirectoryError):
                continue  # an opaque marker that a whiteout was made of, and the like
            fd = directory.fileno()
            before = os.fstat(fd)
            for one in os.listdir(fd):
                name = os.fsencode(one)
                if _is_whiteout(directory.status(name)):
                    os.unlink(name, dir_fd=fd)
            if os.fsdecode(self._mark) in os.listxattr(fd):
                os.removexattr(fd, self._mark)
            _set_times(fd, before)
            self._pool.close_all()

    # --- the tree's names

    def _look(self, directory: Directory, name: bytes) -> os.stat_result | None:
        try:
            return directory.status(name)
        except FileNotFoundError:
            return None

    def _is_directory(self, directory: Directory, name: bytes) -> bool:
        seen = self._look(directory, name)
        return seen is not None and stat.S_ISDIR(seen.st_mode)

    def _remove(self, directory: Directory, name: bytes) -> None:
        remove_tree(os.fsdecode(_magic(directory.fileno(), name)))

    def _empty(self, directory: Directory) -> None:
        for one in os.listdir(directory.fileno()):
            name = os.fsencode(one)
            if directory.parent is not None or name != _SCRATCH:
                self._remove(directory, name)


def _is_whiteout(seen: os.stat_result) -> bool:
    return stat.S_ISCHR(seen.st_mode) and seen.st_rdev == 0
