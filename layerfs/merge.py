"""Several layers' trees as the tar of one layer, which does what they do, one after the other.

For each path, the layers are asked from the top down, as overlayfs does, and as the sequential
application of the image-spec (layer.md, "Applying Changesets") comes out:

- what is no directory, and a whiteout, hides everything below it, and is written as it is;
- directories merge, until one is opaque, or stands over something that is no directory, or over a
  whiteout: the result is then opaque too, since it has to hide what a base may hold;
- the metadata of a directory is that of the topmost layer that says anything of it. Layers in
  which the directory is implicit (its tar had no entry for it) say nothing, not even when it is
  opaque there: an opaque marker removes siblings, and leaves the directory itself. Where all say
  nothing the result has no entry either, and a base decides; but over a whiteout or another kind
  of file the directory is new, with the default metadata, and gets an entry.

Whiteouts and opaque markers are always kept, also where nothing is hidden: a base may have it.
Hardlinks are kept among the paths of one layer that survive. The result is the same bytes each
time: members sorted by their names as written (a directory's ends with "/"), "./" first, an opaque
marker next to its directory.

One directory's names are held in memory at a time for each level, and one piece of content.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final, NamedTuple

from layerfs import whiteout
from layerfs.backends import Sink
from layerfs.errors import (
    InvalidLayerPathError,
    LayerFSError,
    PathError,
    StorageError,
    ValidationError,
    from_os_error,
)
from layerfs.ondisk import Descriptors, Directory, Entry, attributes, member
from layerfs.tarstream import Member
from layerfs.tarwrite import TarWriter

#: How often a name may turn into another kind of file while it is looked at.
_TRIES: Final = 16


def merge(layers: Sequence[tuple[int, frozenset[bytes]]], sink: Sink, *, userxattr: bool) -> None:
    """Write the layer whose stack equals that of ``layers``, over any base.

    ``layers`` is base first: a descriptor of each root, and the directories that are implicit in
    it. Their trees must not change. The archive reaches ``sink`` whole or an error is raised:
    ValidationError (no layer), StorageError (a tree cannot be read), PermissionDeniedError.
    Descriptors stay the caller's.
    """
    if not layers:
        raise ValidationError("nothing to merge: no layer was given")
    write_changes(layers, sink, userxattr=userxattr)


def write_changes(
    layers: Sequence[tuple[int, frozenset[bytes]]],
    sink: Sink,
    *,
    userxattr: bool,
    live: bool = False,
    latest_ns: int | None = None,
) -> None:
    """Write ``layers`` as one: what ``merge`` and ``diff`` have in common.

    ``live`` trees may change meanwhile: what vanishes is left out, and what becomes another kind
    of file is written as that. ``latest_ns`` is the latest mtime to be written.
    """
    pool = Descriptors()
    roots = [(Directory.root(pool, at, fd), implicit) for at, (fd, implicit) in enumerate(layers)]
    try:
        write_trees(roots, sink, userxattr=userxattr, live=live, latest_ns=latest_ns)
    finally:
        pool.close_all()


def write_trees(
    layers: Sequence[tuple[Directory, frozenset[bytes]]],
    sink: Sink,
    *,
    userxattr: bool = False,
    live: bool = False,
    latest_ns: int | None = None,
) -> None:
    """As ``write_changes``, of directories that the caller has opened, and closes."""
    _Changes(layers, TarWriter(sink), userxattr=userxattr, live=live, latest=latest_ns)()


@dataclass(slots=True)
class _Name:
    """One name of a merged directory, and what the layers have there."""

    key: bytes  #: where it stands among its siblings
    entry: Entry  #: what the topmost layer has
    parents: list[Directory]  #: top first: that layer's directory; for "dir", all that merge
    hiding: bool = False  #: a "dir" that stands over a whiteout, or over no directory


@dataclass(slots=True)
class _Frame:
    """A directory whose names are being written."""

    prefix: bytes
    names: Iterator[_Name]
    directories: list[Directory]


class _Ready(NamedTuple):
    """All that has been read, and only has to be written. ``content`` is an open file or -1."""

    members: Sequence[Member]
    content: int = -1
    frame: _Frame | None = None


class _Changes:
    def __init__(
        self,
        layers: Sequence[tuple[Directory, frozenset[bytes]]],
        writer: TarWriter,
        *,
        userxattr: bool,
        live: bool,
        latest: int | None,
    ) -> None:
        self._implicit = [implicit for _root, implicit in layers]
        self._roots = [root for root, _implicit in reversed(layers)]
        self._writer = writer
        self._prefix = "user.overlay." if userxattr else "trusted.overlay."
        self._live = live
        self._latest = latest
        #: The first path of each inode that has several: layer, device, inode.
        self._first: dict[tuple[int, int, int], bytes] = {}

    def __call__(self) -> None:
        try:
            root = self._directory(b".", self._roots, hiding=False)
        except OSError as error:
            raise self._unreadable(error, b".") from error
        self._write(root)
        frames = [root.frame]
        while frames:
            frame = frames[-1]
            assert frame is not None
            below = self._next_directory(frame)
            if below is not None:
                frames.append(below)
                continue
            frames.pop()
            for directory in frame.directories:
                directory.close()
        self._writer.close()

    def _next_directory(self, frame: _Frame) -> _Frame | None:
        """Write names up to and including the next directory, whose names then come first."""
        for name in frame.names:
            path = frame.prefix + name.entry.name
            ready = self._read(path, name)
            if ready is not None:
                self._write(ready)
                if ready.frame is not None:
                    return ready.frame
        return None

    def _write(self, ready: _Ready) -> None:
        try:
            for one in ready.members:
                if self._latest is not None and one.mtime_ns > self._latest:
                    one = replace(one, mtime_ns=self._latest)  # noqa: PLW2901
                self._writer.add(one, ready.content)
        finally:
            if ready.content >= 0:
                os.close(ready.content)

    def _read(self, path: bytes, name: _Name) -> _Ready | None:
        """Read what stands at ``path``; None when there is nothing to be written."""
        entry = name.entry
        if entry.name.startswith(whiteout.PREFIX):
            raise InvalidLayerPathError(
                f"{path!r} cannot be part of a layer: names that begin with '.wh.' are whiteouts",
                path=path,
            )
        for _ in range(_TRIES):
            try:
                if entry.kind == "file":
                    return self._file(path, entry, name.parents[0])
                if entry.kind == "dir":
                    stack = [parent.child(entry.name) for parent in name.parents]
                    return self._directory(path, stack, hiding=name.hiding)
                return self._leaf(path, entry, name.parents[0])
            except OSError as error:
                if not self._live:
                    raise self._unreadable(error, path) from error
                now = name.parents[0].look(entry.name, self._prefix)
                if now is None:
                    return None
                if now.kind == entry.kind:
                    raise self._unreadable(error, path) from error
                entry = now
        raise StorageError(f"{path!r} does not keep still: it changes its kind again and again")

    # --- directories

    def _directory(self, path: bytes, stack: Sequence[Directory], *, hiding: bool) -> _Ready:
        """Read a directory that may have several layers, ``stack``, top first."""
        merged: list[tuple[Directory, str]] = []
        owner: Directory | None = None
        opaque = False
        for directory in stack:
            if owner is None and path not in self._implicit[directory.layer]:
                owner = directory
            if opaque:
                continue
            mark = directory.opaque(self._prefix)
            merged.append((directory, mark))
            opaque = mark == "y"
        if owner is None and hiding:
            owner = stack[0]

        members = []
        if owner is not None:
            fd = owner.fileno()
            members.append(member(path, "dir", os.fstat(fd), attributes(fd)))
        if opaque or hiding:
            members.append(_marker(whiteout.opaque_marker(path)))
        for directory in stack[len(merged) :]:
            directory.close()
        return _Ready(
            members,
            frame=_Frame(
                prefix=b"" if path == b"." else path + b"/",
                names=iter(self._names(merged)),
                directories=[directory for directory, _mark in merged],
            ),
        )

    def _names(self, merged: Sequence[tuple[Directory, str]]) -> list[_Name]:
        """Return the names of a merged directory in the order in which they are written."""
        names: dict[bytes, _Name] = {}
        ended: set[bytes] = set()
        for directory, mark in merged:
            for entry in directory.entries(self._prefix, files_may_be_whiteouts=mark == "x"):
                known = names.get(entry.name)
                if known is None:
                    names[entry.name] = _Name(_key(entry), entry, [directory])
                    if entry.kind != "dir":
                        ended.add(entry.name)
                elif entry.name not in ended:
                    if entry.kind == "dir":
                        known.parents.append(directory)
                    else:
                        known.hiding = True
                        ended.add(entry.name)
        return sorted(names.values(), key=attrgetter("key"))

    # --- everything else

    def _leaf(self, path: bytes, entry: Entry, directory: Directory) -> _Ready | None:
        if entry.kind == "whiteout":
            return _Ready([_marker(whiteout.marker(path))])
        seen = entry.seen or directory.status(entry.name)
        link = self._hardlink(path, seen, directory.layer)
        one = link or directory.special(path, entry.name, seen)
        return None if one is None else _Ready([one])

    def _file(self, path: bytes, entry: Entry, directory: Directory) -> _Ready:
        fd = directory.open_file(entry.name)
        try:
            seen = os.fstat(fd)
            _still_regular(seen)
            link = self._hardlink(path, seen, directory.layer)
            if link is None:
                return _Ready([member(path, "file", seen, attributes(fd))], fd)
        except OSError:
            os.close(fd)
            raise
        os.close(fd)
        return _Ready([link])

    def _hardlink(self, path: bytes, seen: os.stat_result, layer: int) -> Member | None:
        """Return the link to an inode that has been written; None at its first path."""
        if seen.st_nlink == 1:
            return None
        first = self._first.setdefault((layer, seen.st_dev, seen.st_ino), path)
        if first == path:
            return None
        return member(path, "hardlink", seen, {}, linkname=first)

    def _unreadable(self, error: OSError, path: bytes) -> LayerFSError:
        doing = "reading the view's" if self._live else "reading the stored layer's"
        told = from_os_error(error, doing, path)
        if isinstance(told, PathError):  # no path of the caller's: the tree is damaged
            return StorageError(told.message, path=path, errno=error.errno)
        return told


def _still_regular(seen: os.stat_result) -> None:
    if not stat.S_ISREG(seen.st_mode):
        raise OSError(errno.ESTALE, "it is another kind of file now")


def _key(entry: Entry) -> bytes:
    if entry.kind == "dir":
        return entry.name + b"/"
    if entry.kind == "whiteout":
        return whiteout.PREFIX + entry.name
    return entry.name


def _marker(path: bytes) -> Member:
    return Member(path, "file", mode=0)
