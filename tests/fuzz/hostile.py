"""Random layers, right and wrong, and what the model says must come of them.

`conformance.recipes` draws what is well-formed. This draws everything else too: entries in any
order, names twice, parents that are symlinks or files, markers anywhere, names that lead out, and
archives whose bytes are damaged. `expectation` is the oracle: a tree, a refusal, or no opinion.
"""

from __future__ import annotations

import base64
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from typing import Any, Final, Literal

from hypothesis import strategies as st

from conformance import model, tar
from conformance.layers import (
    BlockDevice,
    CharDevice,
    Dir,
    Entry,
    Fifo,
    File,
    Hardlink,
    Layer,
    Opaque,
    Raw,
    Sparse,
    Symlink,
    Whiteout,
)
from harness.tree import Tree

from . import mutation

#: Codes with which a layer that has no result may be refused.
CODES: Final = {"hostile-layer", "invalid-layer-path"}
DAMAGE_CODES: Final = CODES | {"validation-error", "limit-exceeded"}
#: What a damaged archive may ask for in user namespaces, or of tmpfs, and cannot have.
HOST_CODES: Final = {"permission-denied", "write-failed", "storage-error", "path-error"}

_NS: Final = 10**9
_MARKS: Final = ("trusted.overlay.", "user.overlay.")
_CAPABILITY: Final = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
#: linux/posix_acl_xattr.h: rw-, user 7 r--, group r--, mask r--, other ---: mode 0640.
_ACL: Final = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, who)
    for tag, permissions, who in (
        (1, 6, 2**32 - 1), (2, 4, 7), (4, 4, 2**32 - 1), (0x10, 4, 2**32 - 1), (0x20, 0, 2**32 - 1),
    )
)  # fmt: skip
_ACL_NAME: Final = "system.posix_acl_access"

Verdict = Literal["refused", "anything"]


@dataclass(frozen=True)
class World:
    """Who applies: the host's root, or root of a user namespace with one id, without devices."""

    root: bool


# --- drawing --------------------------------------------------------------------------------------

#: Directories and the like; what lies in them has other letters, and is mostly nobody's parent.
_PARENTS = ["a", "b", "c", "a/a", "a/b", "b/c", "a/a/b", "b/c/a"]
_LEAVES = ["x", "y", "z", "a", "b"]
_ODD = ["./a", "a//b", "/a", "a/./c", "\udcff", "a/\udcfe\n", "x:y,z\\", " ", "é", "n" * 255,
        "c/" + "m" * 255]  # fmt: skip
_ODD_DIRECTORIES = ["./", "/", "a/b/", ".//a/", *_ODD]
_BAD = ["..", "../a", "a/../b", "/..", "a/b/..", "n" * 256, "a/.wh.", ".wh..", "a/.wh...",
        ".wh.a/b", ".wh..wh.x", "a/.wh.b/c"]  # fmt: skip
_TARGETS = [
    *_PARENTS, "/a", "/a/b", "../a", "../../b", ".", "..", "/", "a/../b", "./c", "nowhere", "/etc",
    "../../../../../../../../canary", "/canary/d", "/canary/f", "a/x", "x" * 300,
]  # fmt: skip
_WRONG = [
    *(File(name) for name in _BAD), *(Dir(name) for name in _BAD),
    *(Hardlink("x", to=target) for target in ("..", "../../canary/f", "a/../../b", "/", "a")),
    CharDevice("x", 0, 0), Dir(".wh.d"), Whiteout("a/.."), Whiteout("."), File("."), Opaque("a/.."),
]  # fmt: skip
_CONTENTS = [b"", b"one", b"two", b"x" * 700, b"y" * 70_000]
_XATTRS: Final[list[dict[str, bytes]]] = [
    {}, {"user.note": b"y"}, {"user.é": b"", "user.%": b"\0\n="}, {"user.overlay.opaque": b"y"},
    {"trusted.overlay.opaque": b"y", "user.note": b"v" * 300}, {"user.overlay.origin": b""},
    {"trusted.overlay.redirect": b"/b"}, {"trusted.overlay.metacopy": b""},
]  # fmt: skip
_PRIVILEGED_XATTRS = [{"trusted.note": b"\0"}, {"trusted.%": b"", "user.note": b"n"}]


@dataclass(frozen=True)
class Stack:
    """Layers, base first, shown as Python that makes them again, and no longer than needed."""

    layers: tuple[Layer, ...]

    def __repr__(self) -> str:
        return f"Stack(({''.join(_shown(layer) + ', ' for layer in self.layers)}))"


def _shown(layer: Layer) -> str:
    parts = [_shown_entry(entry) for entry in layer.entries]
    options = [("compression", layer.compression, "none"), ("end", layer.end, tar.END)]
    parts += [f"{name}={value!r}" for name, value, usual in options if value != usual]
    return f"Layer({', '.join(parts)})"


def _shown_entry(entry: Entry | Raw) -> str:
    if isinstance(entry, Raw):
        return f"raw({base64.b64encode(zlib.compress(entry.data, 9)).decode()!r})"
    parts = [
        f"{one.name}={getattr(entry, one.name)!r}"
        for one in fields(entry)
        if (one.default is MISSING and one.default_factory is MISSING)
        or getattr(entry, one.name) not in (one.default, {})
    ]
    return f"{type(entry).__name__}({', '.join(parts)})"


def raw(shown: str) -> Raw:
    """Return what a `Stack` has shown so."""
    return Raw(zlib.decompress(base64.b64decode(shown)))


def stacks(world: World) -> st.SearchStrategy[Stack]:
    """Draw one to three layers."""
    return st.lists(_layers(world), min_size=1, max_size=3).map(tuple).map(Stack)


@st.composite
def _layers(draw: st.DrawFn, world: World) -> Layer:
    entries: list[Entry] = []
    for kind in draw(st.lists(st.sampled_from(_kinds(world)), max_size=9)):
        entries.append(kind(draw, world, entries))
    if chance(draw, 12):
        entries.insert(draw(st.integers(0, len(entries))), draw(st.sampled_from(_WRONG)))
    if chance(draw, 8):
        entries = draw(st.permutations(entries))
    layer = Layer(*entries, compression=draw(st.sampled_from(["none", "none", "gzip", "zstd"])))
    if chance(draw, 12):
        drawn = random.Random(draw(st.integers(0, 2**32)))
        plainly = mutation.bytewise(drawn)
        damaged = mutation.mutated(layer.tar(), 1 << 16, drawn.getrandbits(32), plainly)
        return Layer(Raw(damaged), compression=layer.compression, end=b"")
    return layer


def chance(draw: st.DrawFn, one_in: int) -> bool:
    return draw(st.integers(0, one_in - 1)) == one_in - 1


Maker = Callable[[st.DrawFn, World, list[Entry]], Entry]


@cache
def _kinds(world: World) -> list[Maker]:
    many = [_file, _directory, _directory, _symlink, _hardlink, _whiteout]
    few = [_opaque, _sparse, _fifo, *([_device, _capable, _with_acl] if world.root else [])]
    return [*many, *many, *few]


def _below(draw: st.DrawFn, entries: list[Entry]) -> str:
    """A name for what is no directory, mostly in a directory or symlink that the layer has."""
    if chance(draw, 10):
        return draw(st.sampled_from(_ODD))
    there = [one.path.rstrip("/") for one in entries if isinstance(one, (Dir, Symlink))]
    parent = draw(st.sampled_from(["", *there[-4:], *_PARENTS[:4]]))
    leaf = draw(st.sampled_from(_LEAVES))
    return f"{parent}/{leaf}" if parent else leaf


@cache
def _metadata(world: World) -> st.SearchStrategy[dict[str, Any]]:
    """A few dozen combinations, made once: to draw each field by itself takes far longer."""
    drawn = random.Random(1)
    owners = [0, 0, 1, 1000, 2**31] if world.root else [0]
    times = [0, -1, -1_500_000_000, 1, 2**31 * _NS, *(drawn.randrange(2**33 * _NS) for _ in "1234")]
    modes = [0o644, 0o755, 0o600, 0o4755, 0o2755, 0o1777, 0, 0o7777, 0o111]
    drawn_ones = [
        {
            "mode": drawn.choice(modes),
            "uid": drawn.choice(owners),
            "gid": drawn.choice(owners),
            "mtime_ns": drawn.choice(times),
        }
        for _ in range(60)
    ]
    return st.sampled_from([{"mode": 0o755}, *drawn_ones])


def _xattrs(draw: st.DrawFn, world: World, *, user: bool = True) -> dict[str, bytes]:
    sets = [*_XATTRS, *(_PRIVILEGED_XATTRS if world.root else [])]
    if not user:  # xattr(7): only regular files and directories have those
        sets = [{}, *(one for one in sets if not any(name.startswith("user.") for name in one))]
    return draw(st.sampled_from(sets))


def _file(draw: st.DrawFn, world: World, entries: list[Entry]) -> Entry:
    content = draw(st.sampled_from(_CONTENTS))
    xattrs = _xattrs(draw, world)
    return File(_below(draw, entries), content, **draw(_metadata(world)), xattrs=xattrs)


def _directory(draw: st.DrawFn, world: World, _entries: list[Entry]) -> Entry:
    names = _ODD_DIRECTORIES if chance(draw, 8) else _PARENTS
    xattrs = _xattrs(draw, world)
    return Dir(draw(st.sampled_from(names)), **draw(_metadata(world)), xattrs=xattrs)


def _symlink(draw: st.DrawFn, world: World, entries: list[Entry]) -> Entry:
    said = {**draw(_metadata(world)), "mode": 0o777}
    target = draw(st.sampled_from(_TARGETS))
    xattrs = _xattrs(draw, world, user=False)
    return Symlink(_below(draw, entries), target, **said, xattrs=xattrs)


def _hardlink(draw: st.DrawFn, _world: World, entries: list[Entry]) -> Entry:
    there = [one.path for one in entries if not isinstance(one, (Dir, Whiteout, Opaque))]
    targets = ["a", *there] if chance(draw, 10) else there or ["a/x"]
    return Hardlink(_below(draw, entries), draw(st.sampled_from(targets)))


def _whiteout(draw: st.DrawFn, _world: World, _entries: list[Entry]) -> Entry:
    path = draw(st.sampled_from(_PARENTS))
    return Whiteout(f"{path}/{draw(st.sampled_from(_LEAVES))}" if chance(draw, 2) else path)


def _opaque(draw: st.DrawFn, _world: World, _entries: list[Entry]) -> Entry:
    return Opaque(draw(st.sampled_from([*_PARENTS, "."])))


def _sparse(draw: st.DrawFn, world: World, entries: list[Entry]) -> Entry:
    starts = sorted(draw(st.sets(st.integers(0, 7), max_size=3)))
    pieces = tuple((1024 * start, b"z" * 512) for start in starts)
    size = (1024 * starts[-1] + 512 if starts else 0) + draw(st.sampled_from([0, 1, 5000]))
    dialect = draw(st.sampled_from(["0.0", "0.1", "1.0"]))
    return Sparse(_below(draw, entries), size, pieces, dialect, **draw(_metadata(world)))


def _fifo(draw: st.DrawFn, world: World, entries: list[Entry]) -> Entry:
    return Fifo(_below(draw, entries), **draw(_metadata(world)))


def _device(draw: st.DrawFn, world: World, entries: list[Entry]) -> Entry:
    kind, major, minor = draw(
        st.sampled_from([(CharDevice, 1, 3), (BlockDevice, 4095, 2**20 - 1), (BlockDevice, 0, 0)])
    )
    return kind(_below(draw, entries), major, minor, **draw(_metadata(world)))


def _capable(draw: st.DrawFn, world: World, entries: list[Entry]) -> Entry:
    said = draw(_metadata(world))
    return File(_below(draw, entries), **said, xattrs={"security.capability": _CAPABILITY})


def _with_acl(draw: st.DrawFn, world: World, entries: list[Entry]) -> Entry:
    said = {**draw(_metadata(world)), "mode": 0o640}
    return File(_below(draw, entries), **said, xattrs={_ACL_NAME: _ACL})


# --- the oracle -----------------------------------------------------------------------------------


def expectation(layers: Sequence[Layer], world: World) -> Tree | Verdict:
    """Say what must come of the layers, base first.

    ``anything`` where the specification leaves the result open (an entry-less directory over what
    is none, bytes that no recipe describes); it is still neither a crash nor an escape.
    """
    normal = []
    for layer in layers:
        if any(isinstance(entry, Raw) for entry in layer.entries):
            return "anything"
        if any(is_wrong(entry) for entry in layer.entries if isinstance(entry, Entry)):
            return "refused"
        entries = [as_stored(entry, world) for entry in layer.entries if isinstance(entry, Entry)]
        normal.append(Layer(*entries))
    try:
        tree = model.apply(*normal)
    except model.Undefined:
        return "anything" if _is_defined_by_markers(normal) else "refused"
    return tree if all(is_settled(normal, depth) for depth in range(len(normal))) else "anything"


def _is_defined_by_markers(layers: Sequence[Layer]) -> bool:
    """Whether there is a result once the directories that only markers ask for are there.

    Whether a member's symlink may lead to such a directory of its layer is said nowhere.
    """
    helped = []
    for layer in layers:
        entries = [entry for entry in layer.entries if isinstance(entry, Entry)]
        marked = [one.name.rpartition("/")[0] for one in entries if is_marker(one)]
        held = model._changes([Opaque(path or ".") for path in marked]).added
        helped.append(Layer(*(Dir(path) for path in held), *entries))
    try:
        model.apply(*helped)
    except model.Undefined:
        return False
    return True


def is_marker(entry: Entry) -> bool:
    return isinstance(entry, (Whiteout, Opaque))


def is_wrong(entry: Entry) -> bool:
    """Whether no layer may have this entry, by its name, link or numbers alone."""
    if isinstance(entry, CharDevice) and entry.rdev == (0, 0):
        return True
    names = [entry.name, *([entry.link] if isinstance(entry, Hardlink) else [])]
    for name in names:
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if ".." in parts or any(len(part.encode(errors="surrogateescape")) > 255 and
                                not part.startswith(".wh.") for part in parts):  # fmt: skip
            return True
    parts = [part for part in entry.name.split("/") if part not in {"", "."}]
    if any(part.startswith(".wh.") for part in parts[:-1]):
        return True
    if not parts or not parts[-1].startswith(".wh."):
        return not parts and not isinstance(entry, Dir)
    if parts[-1] == ".wh..wh..opq":
        return isinstance(entry, Dir)
    hidden = parts[-1].removeprefix(".wh.")
    return isinstance(entry, Dir) or hidden in {"", ".", ".."} or hidden.startswith(".wh.")


def as_stored(entry: Entry, world: World) -> Entry:
    """The entry without what is never, or not in this world, taken from an archive."""
    kept = {
        name: value
        for name, value in entry.xattrs.items()
        if not name.startswith(_MARKS) and (world.root or not name.startswith("trusted."))
    }
    return replace(entry, xattrs=kept)


def is_settled(layers: Sequence[Layer], depth: int) -> bool:
    """Whether the layer at ``depth`` leaves nothing open, over those below it.

    Open is what becomes of a directory that no entry made where the layers below, after the
    layer's own markers, have something that is none; and of one that only a marker asks for, where
    they have nothing.
    """
    entries = layers[depth].entries
    changes = model._changes(entries)
    below = model.apply(*layers[:depth])
    hidden = _hidden(below, changes)
    others = model._changes([one for one in entries if not isinstance(one, (Whiteout, Opaque))])
    for path, inode in changes.added.items():
        if inode.kind != "dir" or inode.explicit:
            continue
        there = below.get(path)
        if there is not None and path not in hidden and there.kind != "dir":
            return False
        if (there is None or path in hidden) and path not in others.added:
            return False
    return True


def _hidden(below: Tree, changes: model._Changes) -> set[str]:
    """Which paths below the layer's markers take away."""
    gone = set()
    for path in below:
        parts = path.split("/")
        above = {"/".join(parts[:length]) for length in range(1, len(parts))}
        emptied = above if path == model.ROOT else {*above, model.ROOT}
        if changes.hidden & {path, *above} or changes.opaque & emptied:
            gone.add(path)
    return gone
