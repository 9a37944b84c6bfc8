"""What the entries of one layer add up to: a tree of names in memory, and its rules. No I/O.

``apply`` asks it what each member means for the disk, ``verifytree`` what must lie there at the
end; so both follow the same rules, which are these (image-spec layer.md, "Applying Changesets"):

- the last member of a name wins; a directory over a directory keeps the children;
- a parent that no member names is an *implicit* directory; a parent that is a symlink is followed
  inside the root, to a directory that the layer already has, or refused;
- a hardlink names an earlier member of the same layer, never followed, never a directory;
- a whiteout hides what lower layers have of a name, an opaque marker all that they have in a
  directory; both stand apart from the layer's own entries, in whatever order they come, and are
  never resolved through the layer's symlinks.

Raises HostileLayerError for names that would leave the root or forge a marker, and
InvalidLayerPathError for names that cannot be. After an error the tree is of no use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from layerfs.errors import HostileLayerError, InvalidLayerPathError, LimitExceededError
from layerfs.limits import Limits
from layerfs.whiteout import Opaque, Whiteout, classify

if TYPE_CHECKING:
    from layerfs.tarstream import Member

#: As the kernel (path_resolution(7)): so many symlinks in one resolution, then ELOOP.
_MAX_LINKS: Final = 40
#: Components walked because of symlinks, in one resolution. The kernel bounds this by PATH_MAX for
#: each link; a bound on the whole keeps a hostile layer from making every entry expensive.
_MAX_STEPS: Final = 4096
#: The longest target of a symlink, symlink(7).
_MAX_TARGET: Final = 4095


class Node:
    """An inode of the layer. Hardlinked names share one node.

    ``member`` and ``digest`` belong to the user of the tree: it keeps there what it needs.
    """

    __slots__ = ("digest", "kind", "member", "target")

    def __init__(self, kind: str, target: bytes = b"") -> None:
        self.kind = kind
        self.target = target  #: of a symlink
        self.member: Member | None = None
        self.digest = b""


class Directory(Node):
    """A directory: ``children`` are the layer's own, ``hidden`` the names with a whiteout."""

    __slots__ = ("children", "depth", "hidden", "implicit", "length", "marked", "name", "parent")

    def __init__(self, parent: Directory | None, name: bytes) -> None:
        super().__init__("dir")
        self.parent = parent
        self.name = name
        self.children: dict[bytes, Node] = {}
        self.hidden: set[bytes] | frozenset[bytes] = frozenset()
        #: Bytes of the path, and one.
        self.length: int = 0 if parent is None else parent.length + len(name) + 1
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.implicit = True
        self.marked = False  #: holds an opaque marker

    @property
    def opaque(self) -> bool:
        """Whether no lower layer shows through: by its marker, or by a whiteout of its name."""
        return self.marked or (self.parent is not None and self.name in self.parent.hidden)

    def names(self) -> list[bytes]:
        """Return the components of the path from the root."""
        names = []
        directory = self
        while directory.parent is not None:
            names.append(directory.name)
            directory = directory.parent
        return names[::-1]

    def path(self, child: bytes = b"") -> bytes:
        """Return the path from the root, or that of an entry of this directory."""
        names = [*self.names(), child] if child else self.names()
        return b"/".join(names) or b"."

    def subtree(self) -> list[Directory]:
        """Return this directory and all below it, depth first, each after its parent."""
        found: list[Directory] = []
        pending: list[Directory] = [self]
        while pending:
            directory = pending.pop()
            found.append(directory)
            pending += [node for node in directory.children.values() if isinstance(node, Directory)]
        return found

    def hide(self, name: bytes) -> None:
        """Enter a whiteout for ``name``."""
        if isinstance(self.hidden, frozenset):  # an empty set of its own costs each directory 200 B
            self.hidden = set()
        self.hidden.add(name)

    def whiteouts(self) -> list[bytes]:
        """Return the names that need a whiteout on disk: the layer itself has nothing there."""
        return sorted(name for name in self.hidden if name not in self.children)


class _Markers(NamedTuple):
    """What one directory, named by its components, hides of lower layers."""

    names: list[bytes]
    marked: bool
    hidden: set[bytes] | frozenset[bytes]


class Step(NamedTuple):
    """A change of one name: ``node`` comes to ``parent``/``name``, where ``old`` was.

    ``old`` is None where there was nothing. A directory that is both stays, with its children, and
    has new metadata. ``source`` is where a hardlink's node already has a name.
    """

    parent: Directory
    name: bytes
    node: Node
    old: Node | None
    source: tuple[Directory, bytes] | None = None


class LayerTree:
    """The tree so far. ``made`` has the implicit directories since the user last emptied it."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.root = Directory(None, b"")
        self.made: list[Directory] = []
        self._last_path = b""
        self._last: Directory = self.root
        self._implicit_bytes = 0
        #: Markers whose directory an entry of this layer has replaced, so far.
        self._lost: list[_Markers] = []

    def add(self, member: Member) -> Step | None:
        """Enter a member; None when no name changes (markers, sockets, a link to itself)."""
        name = member.name
        kind = member.kind
        if mark := classify(name, is_dir=kind == "dir"):
            self._mark(mark)
            return None
        if kind == "socket":
            return None  # no tar can carry one; image-spec layer.md lists it all the same
        if name == b".":
            return self._root_entry(member)
        if kind == "char" and member.rdev == (0, 0):
            raise HostileLayerError(
                f"hostile layer: {name!r}: character device 0:0 is overlayfs's own whiteout",
                path=name,
            )
        source = self._source(member) if kind == "hardlink" else None
        path, _, base = name.rpartition(b"/")
        parent = self._last if path == self._last_path else self.directory(path)
        old = parent.children.get(base)
        if kind == "dir":
            if isinstance(old, Directory):
                old.implicit = False
                return Step(parent, base, old, old)
            node: Node = self._directory(parent, base)
            node.implicit = False  # type: ignore[attr-defined]
        elif source is not None:
            node = source[0].children[source[1]]
            if old is node:
                return None
        else:
            node = Node(kind, _target(member) if kind == "symlink" else b"")
        if old is not None:
            # What was resolved may have led through the name that is replaced.
            self._last_path, self._last = b"", self.root
        if isinstance(old, Directory):
            self._lost += [
                _Markers(each.names(), each.marked, each.hidden)
                for each in old.subtree()
                if each.marked or each.hidden
            ]
        parent.children[base] = node
        return Step(parent, base, node, old, source)

    def directory(self, path: bytes, *, make: bool = True) -> Directory:
        """Resolve ``path`` as a parent; missing directories are made, implicitly, if ``make``."""
        if not path:
            return self.root
        if path == self._last_path:
            return self._last
        node = self.root
        links = [_MAX_LINKS, _MAX_STEPS]
        for component in path.split(b"/"):
            child = node.children.get(component)
            if isinstance(child, Directory):
                node = child
            elif child is None:
                if not make:
                    raise InvalidLayerPathError(f"{path!r} is not in this layer", path=path)
                node = self._make(node, component)
            elif child.kind == "symlink":
                node = self._follow(node, child.target, links, path)
            else:
                raise InvalidLayerPathError(
                    f"{path!r} cannot be a directory: {component!r} is a {child.kind}", path=path
                )
        self._last_path, self._last = path, node
        return node

    def settle(self) -> None:
        """Bring markers back whose directory was replaced; to be called after the last member.

        A marker speaks of lower layers, and so outlives what this layer did to the directory that
        held it, unless something else than a directory has its place at the end.
        """
        for lost in self._lost:
            self._enter(lost)
        self._lost.clear()

    def implicit(self) -> list[bytes]:
        """Return the implicit directories whose metadata a lower layer may decide, sorted.

        Those below an opaque directory, or hidden by name, have no lower counterpart: they are what
        they are. The root counts, unless the layer has an entry for it.
        """
        shown = {self.root}
        found = []
        for directory in self.root.subtree():
            parent = directory.parent
            if parent is not None:
                if parent not in shown or parent.marked or directory.name in parent.hidden:
                    continue
                shown.add(directory)
            if directory.implicit:
                found.append(directory.path())
        return sorted(found)

    def _make(self, parent: Directory, name: bytes) -> Directory:
        child = self._directory(parent, name)
        self._implicit_bytes += child.length
        most = self._limits.max_implicit_bytes
        if self._implicit_bytes > most:
            raise LimitExceededError(
                "the layer has too many directories without an entry of their own",
                limit=f"max_implicit_bytes={most}",
            )
        parent.children[name] = child
        self.made.append(child)
        return child

    def _directory(self, parent: Directory, name: bytes) -> Directory:
        if parent.depth >= self._limits.max_depth:
            raise LimitExceededError(
                f"more than {self._limits.max_depth} directories above one another",
                path=parent.path(name),
                limit=f"max_depth={self._limits.max_depth}",
            )
        return Directory(parent, name)

    def _root_entry(self, member: Member) -> Step:
        if member.kind != "dir":
            raise InvalidLayerPathError(f"the root cannot be a {member.kind}", path=member.name)
        self.root.implicit = False
        return Step(self.root, b"", self.root, self.root)

    def _mark(self, mark: Whiteout | Opaque) -> None:
        path = mark.directory if isinstance(mark, Opaque) else mark.target
        names = [] if path == b"." else path.split(b"/")
        hidden = frozenset() if isinstance(mark, Opaque) else frozenset({names.pop()})
        markers = _Markers(names, isinstance(mark, Opaque), hidden)
        if not self._enter(markers):
            self._lost.append(markers)

    def _enter(self, markers: _Markers) -> bool:
        """Mark the directory of that very name; False when the layer has something else there.

        Markers speak of lower layers, where a symlink of this layer means nothing: they are never
        followed through one. (umoci writes whiteouts for the children of a directory beside the
        symlink that takes its place.)
        """
        node = self.root
        for name in markers.names:
            child = node.children.get(name) or self._make(node, name)
            if not isinstance(child, Directory):
                return False
            node = child
        node.marked |= markers.marked
        for name in markers.hidden:
            node.hide(name)
        return True

    def _source(self, member: Member) -> tuple[Directory, bytes]:
        name, target = member.name, member.linkname
        if target == b".":
            raise HostileLayerError(f"hostile layer: {name!r}: a hardlink to the root", path=name)
        path, _, base = target.rpartition(b"/")
        node = (directory := self.directory(path, make=False)).children.get(base)
        if node is None:
            raise InvalidLayerPathError(
                f"{name!r}: the hardlink's target {target!r} is not in this layer", path=name
            )
        if isinstance(node, Directory):
            raise HostileLayerError(
                f"hostile layer: {name!r}: a hardlink to the directory {target!r}", path=name
            )
        return directory, base

    def _follow(self, start: Directory, target: bytes, left: list[int], path: bytes) -> Directory:
        """Resolve a symlink met in ``start`` as in a chroot; ``left``: links and steps allowed."""
        node = start
        pending: list[bytes] = []
        while True:
            left[0] -= 1
            components = target.split(b"/")
            left[1] -= len(components)
            if min(left) < 0:
                raise _astray(path, "symlinks in a loop, or too many of them")
            if target.startswith(b"/"):
                node = self.root
            pending += reversed(components)
            target = b""
            while pending and not target:
                component = pending.pop()
                if component in {b"", b"."}:
                    continue
                if component == b"..":
                    node = node.parent or node
                    continue
                child = node.children.get(component)
                if child is None:
                    raise _astray(path, "a symlink to nothing that this layer has")
                if isinstance(child, Directory):
                    node = child
                elif child.kind == "symlink":
                    target = child.target
                else:
                    raise InvalidLayerPathError(
                        f"{path!r} cannot be a directory: a symlink leads to a {child.kind}",
                        path=path,
                    )
            if not target:
                return node


def _target(member: Member) -> bytes:
    if not 0 < len(member.linkname) <= _MAX_TARGET:
        raise InvalidLayerPathError(
            f"{member.name!r}: a symlink's target has 1 to {_MAX_TARGET} bytes, "
            f"not {len(member.linkname)}",
            path=member.name,
        )
    return member.linkname


def _astray(path: bytes, why: str) -> HostileLayerError:
    return HostileLayerError(f"hostile layer: {path!r} leads through {why}", path=path)
