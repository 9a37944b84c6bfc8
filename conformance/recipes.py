"""Random layer recipes for the property-based cases: hypothesis strategies, and nothing else."""

from __future__ import annotations

import itertools
import os
import random
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from hypothesis import strategies as st

from conformance import model
from conformance.entries import (
    MTIME,
    BlockDevice,
    CharDevice,
    Dir,
    Entry,
    Fifo,
    File,
    Hardlink,
    Opaque,
    Sparse,
    Symlink,
    Whiteout,
)
from conformance.layers import Layer
from conformance.tar import Format
from harness.tree import Tree

#: Few names, so that layers meet often.
_PATHS = ["/".join(p) for depth in (1, 2, 3) for p in itertools.product("ab", repeat=depth)]
_MODES = st.sampled_from([0o755, 0o700, 0o1777, 0o2751])
_TIMES = st.integers(min_value=0, max_value=2**33 * 10**9)


def parents(path: str) -> list[str]:
    """Return the directories that a path passes through, topmost first."""
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def stacks(*, explicit: bool) -> st.SearchStrategy[list[Layer]]:
    """Draw one to four layers, base first; with ``explicit``, no directory lacks its entry."""
    drawn = st.lists(_recipes(explicit=explicit), min_size=1, max_size=4)
    return drawn if explicit else drawn.filter(_is_defined)


@st.composite
def _recipes(draw: st.DrawFn, *, explicit: bool) -> Layer:
    entries: dict[str, Entry] = {}
    for path in draw(st.lists(st.sampled_from(_PATHS), max_size=5)):
        if path in entries or not _passable(entries, path):
            continue
        if explicit:
            for one in parents(path):
                entries.setdefault(one, Dir(one, mode=draw(_MODES), mtime_ns=draw(_TIMES)))
        leads = any(other.startswith(f"{path}/") for other in entries)
        entries[path] = draw(_directories(path) if leads else _anything(path))
    wanted = draw(st.lists(st.sampled_from(_PATHS), max_size=2, unique=True))
    markers: list[Entry] = [
        Whiteout(path)
        for path in wanted
        if _passable(entries, path) and (not explicit or set(parents(path)) <= set(entries))
    ]
    directories = [path for path, entry in entries.items() if isinstance(entry, Dir)]
    opaque, linked = draw(st.booleans()), draw(st.booleans())
    if directories and opaque:
        markers.append(Opaque(draw(st.sampled_from(directories))))
    ordered = draw(st.permutations([*entries.values(), *markers]))
    files = [path for path, entry in entries.items() if isinstance(entry, File)]
    links = [Hardlink("link", to=files[0])] if files and linked else []
    return Layer(*ordered, *links, compression=draw(st.sampled_from(["none", "gzip"])))


def _passable(entries: dict[str, Entry], path: str) -> bool:
    """Whether every directory above ``path`` is one, or is not named by the layer."""
    return all(isinstance(entries.get(one, Dir(one)), Dir) for one in parents(path))


def _directories(path: str) -> st.SearchStrategy[Entry]:
    xattrs = st.sampled_from([{}, {"user.note": path.encode()}])
    return st.builds(Dir, st.just(path), mode=_MODES, mtime_ns=_TIMES, xattrs=xattrs)


def _anything(path: str) -> st.SearchStrategy[Entry]:
    content = st.sampled_from([b"", b"one", b"two", b"x" * 5000])
    modes = st.sampled_from([0o644, 0o600, 0o4755, 0])
    return st.one_of(
        st.builds(File, st.just(path), content, mode=modes, mtime_ns=_TIMES),
        _directories(path),
        st.builds(Symlink, st.just(path), st.sampled_from(["a", "/b", "../nowhere"])),
        st.builds(Fifo, st.just(path)),
    )


def _is_defined(layers: Sequence[Layer]) -> bool:
    """Whether each directory without an entry lies over a directory, or over nothing."""
    for depth, layer in enumerate(layers):
        below = model.apply(*layers[:depth])
        entries = [entry for entry in layer.entries if isinstance(entry, Entry)]
        named = {entry.path for entry in entries if isinstance(entry, Dir)}
        markers = [entry for entry in entries if isinstance(entry, (Whiteout, Opaque))]
        made = _passed(entry for entry in entries if entry not in markers)
        for one in (made | _passed(markers)) - named:
            there = below.get(one)
            # A marker makes no directory, where another entry does not.
            if (there is None and one not in made) or (there is not None and there.kind != "dir"):
                return False
    return True


def _passed(entries: Iterable[Entry]) -> set[str]:
    return {one for entry in entries for one in parents(entry.path)}


# --- layers with everything that a host can store --------------------------------------------

#: cap_net_raw+ep, as capabilities(7) stores it in version 2.
_CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
_NOBODY = 2**32 - 1
_DIRECTORIES = ["a", "b", "a/a", "a/b", "b/c", "a/b/d e", "b/é", "a/" + "n" * 40]
_LEAVES = ["x", "y", "z", "a\nn", "\udcff", ".hidden", "x=y", "l" * 80]
_DIALECTS: list[Literal["0.0", "0.1", "1.0"]] = ["0.0", "0.1", "1.0"]
_CONTENTS = [b"", b"one", b"two\n", b"x" * 512, b"y" * 70_000]


Kind = type[File | Symlink | Fifo | Sparse | CharDevice | BlockDevice]


def _acl(*entries: tuple[int, int, int]) -> bytes:
    """Write an ACL as xattrs hold it (linux/posix_acl_xattr.h): tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


#: acl(5): user rwx, user 0 r-x, group r-x, mask r-x, others ---; what it makes of the mode: 0750.
_ACL = _acl((1, 7, _NOBODY), (2, 5, 0), (4, 5, _NOBODY), (16, 5, _NOBODY), (32, 0, _NOBODY))


@dataclass(frozen=True)
class Palette:
    """What may be drawn: what host and subject can store, and what a tool can tell.

    Of the host ``harness/probes.py`` tells it, of the subject its capabilities.

    Without ``fractions`` times are whole seconds since 1970, as every format of tar has them.
    """

    owners: bool
    devices: bool
    user_xattrs: bool
    trusted_xattrs: bool
    capabilities: bool
    acls: bool
    empty_xattrs: bool = True
    setgid_directories: bool = True
    fractions: bool = True

    @classmethod
    def of(cls, facts: Mapping[str, Any], *, devices: bool) -> Palette:
        """Return the palette of a host with these facts; ``devices``: whether the subject has any.

        Of all that is drawn only devices are a capability (PROTOCOL.md, 8).
        """
        return cls(
            owners=facts["can_chown_ids"],
            devices=devices and facts["can_mknod_device"],
            user_xattrs=facts["user_xattrs"],
            trusted_xattrs=facts["trusted_xattrs"],
            capabilities=facts["file_capabilities"],
            # An ACL that names users means nothing where there is only one (PROTOCOL.md, 3.10).
            acls=facts["posix_acl"] and facts["can_chown_ids"],
        )

    def without_xattrs(self) -> Palette:
        """Return the same without extended attributes of any kind."""
        none = {"user_xattrs": False, "trusted_xattrs": False, "capabilities": False, "acls": False}
        return replace(self, **none)


@cache
def _fields(palette: Palette, kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Draw mode, owner, time and xattrs together, of some dozens of combinations.

    To draw each by itself takes hypothesis far longer than the host takes to make the file.
    """
    drawn = random.Random(kind)  # noqa: S311 - for variety, the same each time
    owners = [(0, 0), (1000, 100), (65534, 1)] if palette.owners else [(0, 0)]
    times = [0, 1, 2**31, 2**32, 2**33 - 1, *(drawn.randrange(2**33) for _ in range(20))]
    times += [-1, -86_400] * palette.fractions
    modes = [0o644, 0o600, 0o755, 0o4755, 0o1777, 0o000]
    modes += [0o2711, 0o7777] * (kind != "Dir" or palette.setgid_directories)
    xattrs = _xattr_sets(palette, kind)
    rows = []
    for _ in range(48):
        uid, gid = drawn.choice(owners)
        named = drawn.choice(xattrs)
        mode = 0o777 if kind == "Symlink" else drawn.choice(modes)
        if any(name.endswith("_access") for name in named):
            mode = 0o750
        nanoseconds = drawn.choice([0, 0, 1, 123_456_789, 999_999_999]) * palette.fractions
        time = drawn.choice(times) * 10**9 + nanoseconds
        rows.append({"mode": mode, "uid": uid, "gid": gid, "mtime_ns": time, "xattrs": named})
    return st.sampled_from(rows)


def _xattr_sets(palette: Palette, kind: str) -> list[dict[str, bytes]]:
    sets: list[dict[str, bytes]] = [{}, {}]
    if palette.trusted_xattrs:
        sets += [{"trusted.note": b"\0\xff"}]
    if kind in {"File", "Sparse", "Dir"} and palette.user_xattrs:  # xattr(7): of no other kinds
        sets += [{"user.note": b"one"}, {"user.b": b"\n=", "user.é": b"v" * 300}]
        sets += [{"user.empty": b"", "user.note": b"two"}] * palette.empty_xattrs
    if kind in {"File", "Sparse"} and palette.capabilities:
        sets += [{"security.capability": _CAPABILITY}]
    if kind in {"File", "Sparse", "Dir"} and palette.acls:
        sets += [{"system.posix_acl_access": _ACL}]
    if kind == "Dir" and palette.acls:
        sets += [{"system.posix_acl_default": _ACL}]
    return sets


@st.composite
def rich(draw: st.DrawFn, palette: Palette, *, top: bool = True, form: Format = "pax") -> Layer:
    """Draw one layer without markers, parents first, hard links last, of every kind of entry.

    Each directory that a name passes through has an entry, the root too where ``top`` says so.
    """
    chosen = draw(st.sets(st.sampled_from(_DIRECTORIES), max_size=4))
    named = sorted(chosen | {one for path in chosen for one in parents(path)})
    entries: list[Entry] = [Dir(path, **draw(_fields(palette, "Dir"))) for path in named]
    leaves = [f"{path}/{leaf}" if path else leaf for path in ["", *named] for leaf in _LEAVES]
    kinds: list[Kind] = [File, File, Symlink, Fifo]
    kinds += [Sparse] * (form == "pax")
    kinds += [CharDevice, BlockDevice] * palette.devices
    wanted = draw(st.lists(st.sampled_from(leaves), max_size=6, unique=True))
    entries += [_leaf(draw, palette, draw(st.sampled_from(kinds)), path, form) for path in wanted]
    for path in draw(st.lists(st.sampled_from(["h1", "h2", *named]), max_size=2, unique=True)):
        targets = [one.path for one in entries if not isinstance(one, (Dir, Hardlink))]
        targets = [one for one in targets if form != "ustar" or len(os.fsencode(one)) <= 100]
        if targets:
            name = path if path.startswith("h") else f"{path}/h"
            entries.append(Hardlink(name, to=draw(st.sampled_from(targets))))
    if form != "pax":
        # What these formats are about: names and links that their plain headers cannot hold.
        entries += [Dir("d" * 60), _leaf(draw, palette, File, f"{'d' * 60}/{'f' * 60}", form)]
        entries += [Symlink("s", to="t" * (100 if form == "ustar" else 150))]
    root = [Dir("./", mode=0o755, mtime_ns=MTIME)] if top else []
    return Layer(*root, *entries, format=form)


def _leaf(draw: st.DrawFn, palette: Palette, kind: Kind, path: str, form: Format) -> Entry:
    said = draw(_fields(palette, kind.__name__))
    if kind is File:
        return File(path, draw(st.sampled_from(_CONTENTS)), **said)
    if kind is Symlink:
        targets = ["a", "/b/x", "../..", "t" * (100 if form == "ustar" else 150)]
        return Symlink(path, draw(st.sampled_from(targets)), **said)
    if kind is Sparse:
        pieces = draw(st.sampled_from([(), ((512, b"z" * 512),), ((0, b"z" * 1024), (4096, b"e"))]))
        dialect = draw(st.sampled_from(_DIALECTS))
        return Sparse(path, 9000, pieces, dialect, **said)
    if kind is Fifo:
        return Fifo(path, **said)
    assert issubclass(kind, (CharDevice, BlockDevice))
    return kind(path, *draw(st.sampled_from([(1, 3), (7, 0), (259, 70_000)])), **said)


@st.composite
def grown(draw: st.DrawFn, palette: Palette) -> list[Layer]:
    """Draw two or three layers without markers, base first; nothing takes a directory's place."""
    layers = [draw(rich(palette))]
    for _ in range(draw(st.integers(1, 2))):
        below = model.apply(*layers)
        upper = draw(rich(palette, top=False)).entries
        fitting = {
            one.path: one
            for one in upper
            if isinstance(one, Entry) and (isinstance(one, Dir) or not _has_dir(below, one.path))
        }
        links = {one.path for one in fitting.values() if isinstance(one, Hardlink)}
        lost = {path for path in links if fitting[path].link not in fitting}
        layers.append(Layer(*(one for path, one in fitting.items() if path not in lost)))
    return layers


@st.composite
def marked(draw: st.DrawFn, palette: Palette) -> list[Layer]:
    """Draw two or three layers, base first; the upper ones have markers, and lack some directories.

    Markers name what is really there, and ask for no directory that is not. They stand before
    everything else. A directory without an entry is one of those below.
    """
    layers = [draw(rich(palette))]
    for _ in range(draw(st.integers(1, 2))):
        below = model.apply(*layers)
        upper = draw(rich(palette, top=False)).entries
        there = [path for path in sorted(below) if path != model.ROOT]
        gone = draw(st.sets(st.sampled_from(there), max_size=3)) if there else set()
        missing = {
            path
            for path in draw(st.sets(st.sampled_from(_DIRECTORIES), max_size=2))
            if _has_dir(below, path) and not gone & {path, *parents(path)}
        }
        entries = [one for one in upper if isinstance(one, Entry) and one.path not in missing]
        named = {one.path: one for one in entries}
        at = [path for path in there if path in named or not gone & {path, *parents(path)}]
        hidden = [path for path in sorted(gone) if not gone & set(parents(path))]
        hidden = [path for path in hidden if _passable(named, path)]
        opaque = [path for path in at if isinstance(named.get(path), Dir)]
        opaque = [path for path in opaque if not any(path in parents(one) for one in missing)]
        marker = draw(st.sampled_from([None, *opaque]))
        if marker is not None:
            hidden = [path for path in hidden if marker not in parents(path)]
            entries.insert(0, Opaque(marker))
        layers.append(Layer(*(Whiteout(path) for path in hidden), *entries))
    return layers


def _has_dir(tree: Tree, path: str) -> bool:
    return path in tree and tree[path].kind == "dir"
