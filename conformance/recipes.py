"""Random layer recipes for the property-based cases: hypothesis strategies, and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from hypothesis import strategies as st

from conformance import model
from conformance.entries import Dir, Entry, Fifo, File, Hardlink, Opaque, Symlink, Whiteout
from conformance.layers import Layer

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
