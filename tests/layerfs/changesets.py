"""Change sets for the tests of merge and diff: as recipes, as trees on disk, as tars, and applied.

An independent, slow and obvious model: a layer is first what it hides, then what it holds.
"""

import io
import os
import tarfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from layerfs.merge import merge


@dataclass(eq=False)
class Inode:
    kind: str
    mode: int = 0o755
    mtime: int = 0
    data: bytes = b""  #: content, or target of a symlink


@dataclass
class Change:
    """One layer. ``held`` includes implicit directories, which are in ``implicit`` too."""

    held: dict[str, Inode] = field(default_factory=lambda: {".": Inode("dir")})
    implicit: set[str] = field(default_factory=lambda: {"."})
    hidden: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)

    def parents(self, path):
        """Make missing parents; False if one of them is no directory."""
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            above = "/".join(parts[:depth])
            if above not in self.held:
                self.held[above] = Inode("dir")
                self.implicit.add(above)
            elif self.held[above].kind != "dir":
                return False
        return True

    def hold(self, path, inode):
        if path == ".":
            if inode.kind == "dir":
                self.held["."] = inode
                self.implicit.discard(".")
            return
        if not self.parents(path):
            return
        if inode.kind != "dir":
            for below in [one for one in self.held if one.startswith(path + "/")]:
                self.forget(below)
            self.opaque.discard(path)
            self.hidden = {one for one in self.hidden if not one.startswith(path + "/")}
        self.forget(path)
        self.held[path] = inode

    def forget(self, path):
        self.held.pop(path, None)
        self.implicit.discard(path)
        self.opaque.discard(path)

    def hide(self, path):
        if self.parents(path):
            self.hidden.add(path)

    def make_opaque(self, path):
        if path == "." or self.parents(path + "/x"):
            self.opaque.add(path)

    def link(self, path, target):
        inode = self.held.get(target)
        if inode is not None and inode.kind != "dir" and not path.startswith(target + "/"):
            self.hold(path, inode)


def apply(tree, change):
    """Apply a layer to a tree (path to Inode), as the image-spec says: one after the other."""
    tree = dict(tree) or {".": Inode("dir")}

    def remove(path, *, itself):
        for one in list(tree):
            if one != "." and (
                (itself and one == path) or path == "." or one.startswith(path + "/")
            ):
                del tree[one]

    for path in change.opaque:
        if tree.get(path, Inode("file")).kind == "dir":
            remove(path, itself=False)
    for path in change.hidden:
        remove(path, itself=True)
    for path in sorted(change.held):
        inode = change.held[path]
        before = tree.get(path)
        if inode.kind != "dir" or (before is not None and before.kind != "dir"):
            remove(path, itself=True)
            before = None
        if before is None or path not in change.implicit:
            tree[path] = inode
    return tree


def shown(tree):
    """A tree as plain values, with the paths of each inode."""
    links = {}
    for path, inode in sorted(tree.items()):
        links.setdefault(id(inode), []).append(path)
    return {
        path: (one.kind, one.mode, one.mtime, one.data, links[id(one)] if one.kind != "dir" else [])
        for path, one in sorted(tree.items())
    }


def parsed(data):
    """The Change that a tar says, with the tar checked for order and for double names."""
    change = Change()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for one in archive:
            base = one.name.rpartition("/")[2]
            above = one.name.rpartition("/")[0] or "."
            if base == ".wh..wh..opq":
                change.make_opaque(above)
            elif base.startswith(".wh."):
                assert (one.mode, one.uid, one.gid, one.mtime, one.size) == (0, 0, 0, 0, 0)
                change.hide(os.path.normpath(f"{above}/{base.removeprefix('.wh.')}"))
            elif one.islnk():
                change.link(one.name, one.linkname)
            elif one.isdir():
                change.hold(one.name, Inode("dir", one.mode, one.mtime))
            elif one.issym():
                change.hold(one.name, Inode("symlink", 0o777, one.mtime, one.linkname.encode()))
            elif one.isfifo():
                change.hold(one.name, Inode("fifo", one.mode, one.mtime))
            else:
                content = archive.extractfile(one).read()
                change.hold(one.name, Inode("file", one.mode, one.mtime, content))
    return change


def lay_out(change, root, namespace="user"):
    """Make the tree that overlayfs would read, at ``root``; return what is implicit in it.

    As the applier has it: directories below an opaque one, or hidden by name, are what they are.
    """
    root.mkdir()
    where = {path: root if path == "." else root / path for path in change.held}
    first = {}
    opaque = change.opaque | {path for path in change.hidden if path in change.held}
    for path in sorted(change.held):
        inode = change.held[path]
        if inode.kind == "dir":
            where[path].mkdir(exist_ok=True)
        elif inode in first:
            os.link(first[inode], where[path], follow_symlinks=False)
            continue
        elif inode.kind == "symlink":
            where[path].symlink_to(inode.data.decode())
        else:
            where[path].write_bytes(inode.data)
        first[inode] = where[path]
    for path in change.hidden - set(change.held):
        os.mknod(root / path, 0o020000, os.makedev(0, 0))
    for path in sorted(change.held, reverse=True):
        inode = change.held[path]
        if inode.kind == "dir" and path in opaque:
            os.setxattr(where[path], f"{namespace}.overlay.opaque", b"y")
        if inode.kind != "symlink":
            where[path].chmod(inode.mode)
        os.utime(where[path], (0, inode.mtime), follow_symlinks=False)

    def fresh(path):
        """Whether nothing below it can be the same directory."""
        parts = path.split("/")
        prefixes = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
        return path != "." and (
            "." in change.opaque
            or any(one in change.opaque for one in prefixes[:-1])
            or any(one in change.hidden for one in prefixes)
        )

    return frozenset(os.fsencode(path) for path in change.implicit if not fresh(path))


class Buffer(io.BytesIO):
    """A sink."""


@contextmanager
def opened(*roots):
    with ExitStack() as stack:
        fds = []
        for root in roots:
            fds.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY))
            stack.callback(os.close, fds[-1])
        yield fds


def merged(changes, scratch, namespace="user"):
    """The tar of the merged layers, through trees below ``scratch``."""
    roots = [scratch / f"{number}" for number in range(len(changes))]
    implicit = [lay_out(one, root, namespace) for one, root in zip(changes, roots, strict=True)]
    sink = Buffer()
    with opened(*roots) as fds:
        merge(list(zip(fds, implicit, strict=True)), sink, userxattr=namespace == "user")
    return sink.getvalue()
