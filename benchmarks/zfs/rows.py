"""From what was found in the machine to the rows of the table, each with its bar. Pure.

Of each step the best round counts, and of steps that belong together the best round of their sum.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from benchmarks.bars import Row, limit

#: Layers of the chain that views are made of.
LAYERS: Final = 20
#: Datasets in a pool: few, and many.
FEW: Final = 30
MANY: Final = 3_000
QUICK: Final = 300
#: At most so many times what others need, and what is needed where there are few datasets.
BAR: Final = 0.5
SCALE_BAR: Final = 1.3

OURS: Final = "layerfs, libzfs_core"
COMMAND: Final = "layerfs, zfs command"
CTR: Final = "containerd"
CONTAINERS_STORAGE: Final = "containers-storage"
#: Values of LAYERFS_ZFS.
WAYS: Final = {OURS: "libzfs_core", COMMAND: "command"}

#: Of each contender, or of each step: seconds of each round, by step, or by pool.
Samples = dict[str, dict[str, list[float]]]


class Work(NamedTuple):
    """What another one does for the same: steps of a contender, and what of it the bar is for."""

    who: str
    steps: tuple[str, ...]
    shown: str
    bar: float | None = None
    commands: int = 0  #: of the steps, those that start its own command


_MAKING: Final = (
    Work(CTR, ("prepare", "mount"), "ctr snapshots prepare, mount", BAR, commands=1),
    Work(CTR, ("prepare",), "ctr snapshots prepare alone", BAR),
    Work(
        CONTAINERS_STORAGE,
        ("create-container", "mount"),
        "containers-storage create-container, mount",
        BAR,
        commands=2,
    ),
    Work(
        CONTAINERS_STORAGE, ("create-container",), "containers-storage create-container alone", BAR
    ),
)
_REMOVING: Final = (
    Work(CTR, ("umount", "rm"), "umount, ctr snapshots rm", BAR, commands=1),
    Work(CTR, ("umount", "rm", "collected"), "the same, until its dataset is destroyed"),
    Work(
        CONTAINERS_STORAGE,
        ("unmount", "delete-container"),
        "containers-storage unmount, delete-container",
        BAR,
        commands=2,
    ),
    Work(
        CONTAINERS_STORAGE, ("delete-container",), "containers-storage delete-container alone", BAR
    ),
)
_FILLING: Final = {
    CTR: "ctr images import --snapshotter zfs",
    CONTAINERS_STORAGE: f"{LAYERS} times containers-storage import-layer",
}


def rows(found: Mapping[str, Any]) -> list[Row]:
    """Return the rows; ``found`` is what ``guest.main`` returns."""
    contest: Samples = found["contest"]
    return [
        *_compared(f"make and mount a view of {LAYERS} layers", "stack", _MAKING, contest),
        *_compared("unmount and remove it", "unmount", _REMOVING, contest),
        *_processes(found["processes"]),
        *_filling(found["filled"]),
        *_scaled(found["scale"], found["datasets"]),
    ]


def _compared(name: str, step: str, works: tuple[Work, ...], contest: Samples) -> Iterator[Row]:
    ours = contest[OURS][step]
    for work in works:
        theirs = sums(contest[work.who], work.steps)
        yield Row(name, min(ours), work.shown, min(theirs), work.bar)
        if work.commands:
            median = statistics.median
            yield Row(name, median(ours), f"{work.shown}: medians", median(theirs))
            bare = work.commands * min(contest[work.who]["bare"])
            if (rest := min(theirs) - bare) > 0:
                yield Row(name, min(ours), f"{work.shown}: less its processes' starts", rest)
    yield Row(name, min(ours), "the same by the zfs command", min(contest[COMMAND][step]))


def sums(samples: Mapping[str, list[float]], steps: tuple[str, ...]) -> list[float]:
    """Return the seconds of several steps together, of each round."""
    return [sum(parts) for parts in zip(*(samples[step] for step in steps), strict=True)]


def _processes(counted: Mapping[str, int]) -> Iterator[Row]:
    name, unit = "processes started to make and remove a view", "processes"
    yield limit(name, counted[OURS], 1, unit=unit)
    if counted[COMMAND]:
        yield Row(name, counted[OURS], "by the zfs command", counted[COMMAND], unit=unit)


def _filling(filled: Mapping[str, float]) -> Iterator[Row]:
    for who, shown in _FILLING.items():
        yield Row(f"import {LAYERS} layers, and make their chain", filled[OURS], shown, filled[who])


def _scaled(samples: Samples, datasets: Mapping[str, int]) -> Iterator[Row]:
    few, many = datasets["few"], datasets["many"]
    for step, taken in samples.items():
        name = f"{step}, with {many:,} datasets in the pool"
        yield Row(name, min(taken["many"]), f"the same with {few}", min(taken["few"]), SCALE_BAR)
