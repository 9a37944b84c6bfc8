"""File trees as values: what the observer sees and what the model expects, comparable.

Names are paths relative to the tree's root, without ``./``; the root itself is ``"."``. Bytes that
are not UTF-8 are lone surrogates (``os.fsdecode``). Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Literal

Kind = Literal["file", "dir", "symlink", "fifo", "char", "block", "socket"]


@dataclass(frozen=True, slots=True)
class Node:
    """One path. None in ``mtime_ns`` means that any value will do."""

    kind: Kind
    mode: int  #: permission bits with setuid, setgid and sticky; 0o777 for symlinks
    uid: int = 0
    gid: int = 0
    mtime_ns: int | None = None
    size: int = 0  #: bytes, for regular files
    sha256: str = ""  #: of the content, for regular files
    target: str = ""  #: of a symlink
    rdev: tuple[int, int] = (0, 0)  #: major, minor of a device
    xattrs: tuple[tuple[str, bytes], ...] = ()  #: sorted by name
    links: tuple[str, ...] = ()  #: all paths of the same inode, sorted, when there are several

    def differences(self, other: Node) -> list[str]:
        """Name each field in which the two differ, with both values."""
        found = []
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if field.name == "mtime_ns" and (mine is None or theirs is None):
                continue
            if mine != theirs:
                shown = (oct(mine), oct(theirs)) if field.name == "mode" else (mine, theirs)
                found.append(f"{field.name} {shown[0]!s} != {shown[1]!s}")
        return found


class Tree(Mapping[str, Node]):
    """Path to node. Trees are equal when all paths are there and all fields agree.

    The root (``"."``) is compared only when both trees have it, since a layer need not say
    anything of it.
    """

    __slots__ = ("_nodes",)

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = dict(nodes)

    def __getitem__(self, path: str) -> Node:
        return self._nodes[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tree):
            return NotImplemented
        return not self.differences(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Tree({len(self)} paths: {', '.join(sorted(self)[:8])}{', …' * (len(self) > 8)})"

    def differences(self, other: Tree) -> list[str]:
        """One line for each path that differs; empty when equal. Self is the left side."""
        lines = []
        for path in sorted(set(self) | set(other)):
            if path not in self:
                if path != ".":
                    lines.append(f"{path!a}: missing on the left, {other[path].kind} on the right")
            elif path not in other:
                if path != ".":
                    lines.append(f"{path!a}: {self[path].kind} on the left, missing on the right")
            else:
                lines += [f"{path!a}: {what}" for what in self[path].differences(other[path])]
        return lines
