"""What exists in ZFS pools, as a value, and what differs between two of them: part of the ledger.

Nothing here does I/O. Space is no part of it: what is free or used changes by itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Pool:
    """One imported pool; ``health`` is empty where the pool is somebody else's."""

    name: str
    guid: str
    health: str

    def __str__(self) -> str:
        return f"pool {self.name}" + (f" ({self.health})" if self.health else "")


@dataclass(frozen=True, slots=True)
class Entry:
    """One dataset, snapshot or bookmark; ``guid`` tells it from another of the same name.

    ``kind`` is that of zfsprops(7), type: filesystem, volume, snapshot, bookmark. ``origin`` is the
    snapshot that a clone comes from, else ``-``.
    """

    kind: str
    guid: str
    origin: str = "-"

    def called(self, name: str) -> str:
        """Return it in words, by its name."""
        kind = "dataset" if self.kind == "filesystem" else self.kind
        return f"{kind} {name}" + (f" (clone of {self.origin})" if self.origin != "-" else "")


@dataclass(frozen=True, slots=True)
class ZfsLedger:
    """Everything in the pools that are watched. All empty where there is none.

    ``entries`` are by name, ``holds`` pairs of snapshot and tag; ``properties`` has of each dataset
    what was set on it (or received), native and user properties.
    """

    pools: frozenset[Pool] = frozenset()
    entries: Mapping[str, Entry] = field(default_factory=dict)
    holds: frozenset[tuple[str, str]] = frozenset()
    properties: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, told: Mapping[str, Any] | None) -> Self:
        """Make one of what the observer tells; None where no pool could be there."""
        if told is None:
            return cls()
        properties: dict[str, dict[str, str]] = {}
        for name, property_, value in told["properties"]:
            properties.setdefault(name, {})[property_] = value
        return cls(
            pools=frozenset(Pool(*row) for row in told["pools"]),
            entries={name: Entry(*row) for name, *row in told["entries"]},
            holds=frozenset((snapshot, tag) for snapshot, tag in told["holds"]),
            properties=properties,
        )


def difference(before: ZfsLedger, after: ZfsLedger) -> list[str]:
    """Return one line for each thing that was left behind, has gone, or is another now.

    What is left or gone is told by its topmost dataset, with how much is below it.
    """
    lines = _pools(before, after)
    old, new = before.entries, after.entries
    left, gone = _tops(new.keys() - old.keys()), _tops(old.keys() - new.keys())
    lines += [f"left: {new[top].called(top)}{more}" for top, more in left.items()]
    lines += [f"gone: {old[top].called(top)}{more}" for top, more in gone.items()]
    both = sorted(old.keys() & new.keys())
    lines += [f"changed: {line}" for name in both for line in _entry(name, old[name], new[name])]
    for word, one, other in (("left", after, before), ("gone", before, after)):
        lines += [
            f"{word}: hold {tag!a} on {snapshot}"
            for snapshot, tag in sorted(one.holds - other.holds)
            if snapshot in other.entries  # else the snapshot itself has been told
        ]
    for name in both:
        lines += _settings(name, before.properties.get(name, {}), after.properties.get(name, {}))
    return lines


def _pools(before: ZfsLedger, after: ZfsLedger) -> list[str]:
    old = {(pool.name, pool.guid): pool for pool in before.pools}
    new = {(pool.name, pool.guid): pool for pool in after.pools}
    lines = [f"left: {new[key]}" for key in sorted(new.keys() - old.keys())]
    lines += [f"gone: {old[key]}" for key in sorted(old.keys() - new.keys())]
    return lines + [
        f"changed: pool {key[0]} was {old[key].health} and is {new[key].health}"
        for key in sorted(old.keys() & new.keys())
        if old[key].health != new[key].health
    ]


def _entry(name: str, old: Entry, new: Entry) -> list[str]:
    if old.guid != new.guid:
        return [f"{name} is another {new.kind} than before"]
    if old.origin != new.origin:
        return [f"the origin of {name} was {old.origin} and is {new.origin}"]
    return []


def _settings(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [
        f"changed: property {one} of {name}: {_shown(old, one)} before, {_shown(new, one)} now"
        for one in sorted(old.keys() | new.keys())
        if old.get(one) != new.get(one)
    ]


def _shown(values: Mapping[str, str], name: str) -> str:
    return ascii(values[name]) if name in values else "not set"


def _tops(names: Iterable[str]) -> dict[str, str]:
    """Return the topmost of ``names``, each with words for how many of them are below it."""
    below: Counter[str] = Counter()
    tops: list[str] = []
    for name in sorted(names, key=lambda one: re.split("[/@#]", one)):
        if tops and re.match("[/@#]", name[len(tops[-1]) :]) and name.startswith(tops[-1]):
            below[tops[-1]] += 1
        else:
            tops.append(name)
    return {top: f" with {below[top]} below it" if below[top] else "" for top in tops}
