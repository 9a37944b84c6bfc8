"""What every task is given, and what a task is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.bars import Row
from benchmarks.filesystem import Ground
from benchmarks.measure import Samples, Way, race
from benchmarks.packages import Log

#: The command as it was installed beside this Python.
LAYERFS: Final = Path(sys.executable).with_name("layerfs")


@dataclass
class Context:
    """The ground, how often, and where to tell. ``details`` goes into ``bench-details.json``."""

    ground: Ground
    rounds: int
    log: Log
    quick: bool = False  #: the smallest sizes that still tell something
    details: dict[str, Any] = field(default_factory=dict)

    def race(self, title: str, ways: list[Way], rounds: int | None = None) -> Samples:
        """Measure, and keep all samples under ``title``."""
        self.log(title)
        samples = race(ways, rounds or self.rounds, self.ground, self.log)
        self.details.setdefault("samples", {})[title] = samples
        return samples

    def skip(self, what: str, why: str) -> None:
        """Say that a comparison is left out."""
        self.log(f"  skipped: {what}: {why}")
        self.details.setdefault("skipped", []).append(f"{what}: {why}")


class Task(NamedTuple):
    """One part of the benchmark. ``prepare`` makes its inputs, before anything is measured."""

    name: str
    prepare: Callable[[Log], Any]
    run: Callable[[Context], list[Row]]
