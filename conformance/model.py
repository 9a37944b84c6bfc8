"""The oracle: which tree must result from applying layers. Pure, and independent of any subject.

It follows the image-spec (layer.md, "Applying Changesets"): layers are applied one after the other,
base first; in each, whiteouts take away from what lies below before anything of the layer is added,
wherever they stand in the archive. Within a layer, entries are applied in the archive's order, as
tar would: a later entry replaces an earlier one of the same name, a directory over a directory only
changes its attributes, and names are resolved inside the root, through symlinks of the same layer
for all but the last component.

What the specification leaves open and PROTOCOL.md fixes: a directory that no entry made is 0755,
owned by 0:0, with any time; such a directory says nothing of one that lies below. What has no
defined result raises :class:`Undefined`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from conformance.entries import (
    BlockDevice,
    CharDevice,
    Dir,
    Entry,
    Fifo,
    File,
    Hardlink,
    Hashed,
    Opaque,
    Raw,
    Sparse,
    Symlink,
    Whiteout,
)
from conformance.layers import Layer
from harness.tree import Kind, Node, Tree

ROOT: Final = "."
#: Linux follows at most 40 symlinks in one path (path_resolution(7)).
MAX_SYMLINKS: Final = 40


class Undefined(ValueError):  # noqa: N818 - it names a result, which is not an error of the caller
    """The specification gives this recipe no result."""


@dataclass(eq=False, slots=True)
class _Inode:
    """One file, whatever its names. ``explicit`` is false for a directory that no entry made."""

    kind: Kind
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime_ns: int | None = None
    size: int = 0
    sha256: str = ""
    target: str = ""
    rdev: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] = ()
    explicit: bool = False


@dataclass(slots=True)
class _Changes:
    """One layer by itself: what it adds, and what it hides of those below."""

    added: dict[str, _Inode] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)


def apply(*layers: Layer) -> Tree:
    """Return the tree of the layers, base first. Raises Undefined."""
    tree: dict[str, _Inode] = {}
    for layer in layers:
        _overlay(tree, _changes(layer.entries))
    return _as_tree(tree)


def _overlay(tree: dict[str, _Inode], changes: _Changes) -> None:
    for path in changes.hidden:
        _drop(tree, path)
    for path in changes.opaque:
        _drop_children(tree, path)
    for path in sorted(changes.added):
        inode, below = changes.added[path], tree.get(path)
        if inode.kind != "dir" or (below is not None and below.kind != "dir"):
            _drop(tree, path)
        if inode.explicit or path not in tree:
            tree[path] = inode


def _changes(entries: Iterable[Entry | Raw]) -> _Changes:
    changes = _Changes()
    for entry in entries:
        if isinstance(entry, Raw):
            raise Undefined("bytes that are not an entry")
        if isinstance(entry, Whiteout):
            changes.hidden.add("/".join(_parts(entry.path)))
            continue
        if isinstance(entry, Opaque):
            changes.opaque.add("/".join(_parts(entry.path)) or ROOT)
            continue
        path = _place(changes.added, entry.path)
        if isinstance(entry, Hardlink):
            _link(changes.added, path, entry)
        else:
            _add(changes.added, path, _inode(entry))
    for path in [*changes.opaque, *(path.rpartition("/")[0] for path in changes.hidden)]:
        _hold(changes.added, path)
    return changes


def _hold(added: dict[str, _Inode], directory: str) -> None:
    """Make the directory that holds a marker, unless the layer has something else in its way.

    A marker names paths of the layers below as they are written: no symlink is followed.
    """
    here = ROOT
    for part in _parts(directory):
        here = _join(here, part)
        if added.setdefault(here, _Inode("dir")).kind != "dir":
            return


def _link(added: dict[str, _Inode], path: str, entry: Hardlink) -> None:
    seen = added.get(_place(added, entry.to))
    if seen is None or seen.kind == "dir":
        raise Undefined(f"{entry.to!r} is nothing in this layer that could be linked to")
    _add(added, path, seen)


def _add(added: dict[str, _Inode], path: str, inode: _Inode) -> None:
    there = added.get(path)
    if there is not None and there.kind == inode.kind == "dir":
        added[path] = inode
        return
    if path == ROOT and inode.kind != "dir":
        raise Undefined("a root that is no directory")
    if path != ROOT:
        _drop(added, path)
    added[path] = inode


#: No whiteout and no hard link among them: those are no files of their own.
_KINDS: Final[Mapping[type[Entry], Kind]] = {
    File: "file",
    Sparse: "file",
    Dir: "dir",
    Symlink: "symlink",
    Fifo: "fifo",
    CharDevice: "char",
    BlockDevice: "block",
}


def _inode(entry: Entry) -> _Inode:
    kind = _KINDS[type(entry)]
    size, digest = _content(entry.data) if isinstance(entry, (File, Sparse)) else (0, "")
    return _Inode(
        kind=kind,
        mode=0o777 if kind == "symlink" else entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        mtime_ns=entry.mtime_ns,
        size=size,
        sha256=digest,
        target=entry.link if kind == "symlink" else "",
        rdev=entry.rdev,
        xattrs=tuple(sorted(entry.xattrs.items())),
        explicit=True,
    )


def _content(data: bytes | Hashed) -> tuple[int, str]:
    if isinstance(data, Hashed):
        return data.size, data.sha256
    return len(data), hashlib.sha256(data).hexdigest()


# --- names --------------------------------------------------------------------------------------


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise Undefined(f"{path!r} has a component ..")
    return parts


def _join(directory: str, name: str) -> str:
    return name if directory == ROOT else f"{directory}/{name}"


def _place(added: dict[str, _Inode], path: str) -> str:
    """Return where an entry of this name belongs, and make the directories that it needs."""
    parts = _parts(path)
    return _join(_parent(added, path), parts[-1]) if parts else ROOT


def _parent(added: dict[str, _Inode], path: str) -> str:
    """Resolve all but the last component inside the root, making missing directories."""
    here = ROOT
    for part in _parts(path)[:-1]:
        step = _join(here, part)
        there = added.get(step)
        if there is None:
            added[step] = _Inode("dir")
        elif there.kind == "symlink":
            step = _follow(added, step)
        elif there.kind != "dir":
            raise Undefined(f"{step!r} is a {there.kind}, and {path!r} needs a directory")
        here = step
    return here


def _follow(added: Mapping[str, _Inode], path: str) -> str:
    """Return the directory that a symlink leads to, with ``/`` and ``..`` held at the root."""
    here: list[str] = []
    left, followed = path.split("/"), 0
    while left:
        name = left.pop(0)
        if name == "..":
            here = here[:-1]
        if name in {"", ".", ".."}:
            continue
        there = added.get("/".join([*here, name]))
        if there is not None and there.kind == "symlink" and followed < MAX_SYMLINKS:
            followed += 1
            here = [] if there.target.startswith("/") else here
            left = [*there.target.split("/"), *left]
        elif there is not None and there.kind == "dir":
            here = [*here, name]
        else:
            raise Undefined(f"the symlink {path!r} leads to no directory of this layer")
    return "/".join(here) or ROOT


def _drop(tree: dict[str, _Inode], path: str) -> None:
    tree.pop(path, None)
    _drop_children(tree, path)


def _drop_children(tree: dict[str, _Inode], path: str) -> None:
    prefix = "" if path == ROOT else f"{path}/"
    for name in [name for name in tree if name.startswith(prefix) and name != ROOT]:
        del tree[name]


def _as_tree(tree: Mapping[str, _Inode]) -> Tree:
    names: defaultdict[int, list[str]] = defaultdict(list)
    for path, inode in tree.items():
        names[id(inode)].append(path)
    return Tree({path: _node(inode, names[id(inode)]) for path, inode in tree.items()})


def _node(inode: _Inode, names: list[str]) -> Node:
    return Node(
        kind=inode.kind,
        mode=inode.mode,
        uid=inode.uid,
        gid=inode.gid,
        mtime_ns=inode.mtime_ns,
        size=inode.size,
        sha256=inode.sha256,
        target=inode.target,
        rdev=inode.rdev,
        xattrs=inode.xattrs,
        links=tuple(sorted(names)) if len(names) > 1 else (),
    )


def untimed(tree: Tree) -> Tree:
    """Return the tree with any time for everything, for where a clock has been at work."""
    return Tree({path: replace(node, mtime_ns=None) for path, node in tree.items()})
