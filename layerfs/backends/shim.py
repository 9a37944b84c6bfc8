"""The shim: a small generated lowerdir on top of a stack, where overlayfs alone would be wrong.

It holds directories only, each with the metadata that it must have in the view, and never a name
that the view would not have without it. Two things call for it:

- *Implicit directories.* A layer with ``d/new`` and no entry for ``d`` must leave the metadata of
  ``d`` as lower layers made it (image-spec layer.md: layers are applied one after the other). But
  on disk the layer has a ``d``, and overlayfs takes the metadata of the topmost one.
- *Whiteouts in directories of one layer.* overlayfs filters whiteouts out of a directory listing
  only when it merges several directories; that of a single layer is passed through, and shows a
  character device that cannot be looked up. With the shim there are two.

For each path the layers are asked from the top down, as overlayfs does: the first that has
anything else than a directory there ends the search, and so does an opaque directory, except that
being opaque hides what is in a directory, not its own metadata.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from layerfs.backends.marks import Marks

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Bytes of a path that is walked in one step (PATH_MAX is 4096, with the name of the tree).
_STRIDE = 2048
#: Kept by overlayfs for itself, or belonging to the host: not part of a directory's metadata.
_FOREIGN = ("trusted.overlay.", "user.overlay.", "security.selinux")


class Tree(NamedTuple):
    """A stored layer: the absolute path of its root directory, and what is known of it."""

    path: str
    marks: Marks


class Plan(NamedTuple):
    """What a stack needs. Numbers are places in the list of trees, top first."""

    depth: int  #: so many trees are seen; those below an opaque root are not
    root: int  #: whose root directory has the metadata of the view's
    #: The directories of the shim, parents first, and whose metadata each has.
    directories: dict[bytes, int]


class _Merged(NamedTuple):
    """A directory of the view: the trees that it merges, top first, and whose metadata it has."""

    trees: tuple[int, ...]
    owner: int


def plan(trees: Sequence[Tree], *, userxattr: bool) -> Plan:
    """Find out what the stack of ``trees``, **top first**, needs. OSError from reading them."""
    marks = [tree.marks for tree in trees]
    opaque = (number for number, its in enumerate(marks) if its.opaque_root)
    described = (number for number, its in enumerate(marks) if b"." not in its.implicit)
    found = Plan(next(opaque, len(trees) - 1) + 1, next(described, 0), {})
    seen = marks[: found.depth]
    wanted = {path for its in seen for path in (*its.implicit, *its.whiteouts)} - {b"."}
    if wanted:
        needed = _Stack(trees, found, userxattr=userxattr).needed(wanted)
        return found._replace(directories=needed)
    return found


class _Stack:
    def __init__(self, trees: Sequence[Tree], found: Plan, *, userxattr: bool) -> None:
        self._trees = trees
        self._opaque = "user.overlay.opaque" if userxattr else "trusted.overlay.opaque"
        self._known: dict[bytes, _Merged | None] = {
            b"": _Merged(tuple(range(found.depth)), found.root)
        }

    def needed(self, wanted: set[bytes]) -> dict[bytes, int]:
        """Return which of ``wanted`` the shim must have, with the directories on the way."""
        needed: dict[bytes, int] = {}
        for path in sorted(wanted):
            merged = self._merged(path)
            if merged is None or not self._is_wrong(path, merged):
                continue
            at = path.find(b"/")
            while at >= 0:
                above = self._known[path[:at]]
                assert above is not None, "what is in the view has parents in the view"
                needed[path[:at]] = above.owner
                at = path.find(b"/", at + 1)
            needed[path] = merged.owner
        return dict(sorted(needed.items()))

    def _is_wrong(self, path: bytes, merged: _Merged) -> bool:
        top = merged.trees[0]
        alone = len(merged.trees) == 1
        return merged.owner != top or (alone and path in self._trees[top].marks.whiteouts)

    def _merged(self, path: bytes) -> _Merged | None:
        # Not recursive, since a path may have thousands of components.
        at = path.find(b"/")
        while at >= 0:
            if self._look(path[:at]) is None:
                return None
            at = path.find(b"/", at + 1)
        return self._look(path)

    def _look(self, path: bytes) -> _Merged | None:
        """Look for a directory of the view whose parent is known already."""
        if path in self._known:
            return self._known[path]
        above = self._known[path.rpartition(b"/")[0]]
        assert above is not None, "parents first"
        merged: list[int] = []
        owner = None
        opaque = False
        for number in above.trees:
            tree = self._trees[number]
            with _reached(tree.path, path) as (fd, name):
                try:
                    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if not stat.S_ISDIR(found.st_mode):
                    break
                if not opaque:
                    merged.append(number)
                if owner is None and path not in tree.marks.implicit:
                    owner = number
                opaque = opaque or self._is_opaque(fd, name)
            if opaque and owner is not None:
                break
        self._known[path] = None
        if merged:
            self._known[path] = _Merged(tuple(merged), merged[0] if owner is None else owner)
        return self._known[path]

    def _is_opaque(self, fd: int | None, name: bytes) -> bool:
        path = name if fd is None else b"/proc/self/fd/%d/%b" % (fd, name)
        if self._opaque not in os.listxattr(path, follow_symlinks=False):
            return False
        return os.getxattr(path, self._opaque, follow_symlinks=False) == b"y"


@contextlib.contextmanager
def _reached(base: str, path: bytes) -> Iterator[tuple[int | None, bytes]]:
    """Give a directory and a name in it that stand for ``path`` below ``base``.

    The way is known to be of directories only. FileNotFoundError comes from using the name, as
    ``base`` itself exists.
    """
    if len(path) <= _STRIDE:
        yield None, os.fsencode(base) + b"/" + path
        return
    fd = os.open(base, _DIRECTORY)
    try:
        rest = path
        while len(rest) > _STRIDE:
            # A component has at most 255 bytes, so that there is a slash within the stride.
            step, rest = (
                rest[: rest.rindex(b"/", 0, _STRIDE)],
                rest[rest.rindex(b"/", 0, _STRIDE) + 1 :],
            )
            nearer = os.open(step, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = nearer
        yield fd, rest
    finally:
        os.close(fd)


def build(found: Plan, trees: Sequence[Tree], shim: str) -> None:
    """Make the shim in ``shim``, which must not exist. OSError; what was made remains then."""
    os.mkdir(shim, 0o700)
    for path in found.directories:
        with _reached(shim, path) as (fd, name):
            os.mkdir(name, 0o700, dir_fd=fd)
    for path, owner in reversed(found.directories.items()):
        with (
            _reached(trees[owner].path, path) as (source_fd, source),
            _reached(shim, path) as (fd, name),
        ):
            copy_metadata(_magic(source_fd, source), _magic(fd, name))
    copy_metadata(os.fsencode(trees[found.root].path), os.fsencode(shim))


def _magic(fd: int | None, name: bytes) -> bytes:
    return name if fd is None else b"/proc/self/fd/%d/%b" % (fd, name)


def copy_metadata(source: bytes, target: bytes) -> None:
    """Give the directory ``target`` the owner, mode, attributes and mtime of ``source``."""
    found = os.lstat(source)
    old = os.lstat(target)
    if (old.st_uid, old.st_gid) != (found.st_uid, found.st_gid):
        os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
    wanted = attributes(source)
    for name in attributes(target).keys() - wanted.keys():
        os.removexattr(target, name)  # such as an ACL inherited from the store's own directory
    for name, value in wanted.items():
        os.setxattr(target, name, value)
    os.chmod(target, stat.S_IMODE(found.st_mode))
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def attributes(directory: bytes) -> dict[str, bytes]:
    """Return the extended attributes that belong to the layer, ACLs among them."""
    names = os.listxattr(directory, follow_symlinks=False)
    kept = [name for name in names if not name.startswith(_FOREIGN)]
    return {name: os.getxattr(directory, name, follow_symlinks=False) for name in kept}


def same_metadata(one: bytes, other: bytes) -> bool:
    """Say whether two directories have the same owner, mode, mtime and attributes."""
    first, second = os.lstat(one), os.lstat(other)
    return (
        (first.st_mode, first.st_uid, first.st_gid, first.st_mtime_ns)
        == (second.st_mode, second.st_uid, second.st_gid, second.st_mtime_ns)
    ) and attributes(one) == attributes(other)
