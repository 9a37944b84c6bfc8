"""A store of 10,000 layers, beside one of 100: opening it, and adding, stacking and removing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from benchmarks.bars import Row, limit
from benchmarks.context import Context, Task
from benchmarks.measure import JOB, answer, seconds
from benchmarks.packages import Log
from benchmarks.stacking import fill

FEW: Final = 100
MANY: Final = 10_000
QUICK: Final = 1_000
OPEN_S: Final = 0.100
TIMES: Final = 1.5


def tasks() -> list[Task]:
    """Return the task."""
    return [Task("scale", _nothing, _run)]


def _nothing(_log: Log) -> None:
    """Everything is made on the spot."""


def _run(context: Context) -> list[Row]:
    count = QUICK if context.quick else MANY
    with context.ground.fresh() as folder:
        few, many, target = folder / "few", folder / "many", folder / "t"
        target.mkdir()
        context.log(f"scale: making a store of {count} layers")
        begin = time.monotonic()
        fill(few, FEW)
        fill(many, count)
        context.log(f"  made in {time.monotonic() - begin:.0f} s")
        context.ground.settle()
        opened, process = _opening(many, context.rounds)
        found: dict[str, Any] = answer([*JOB, "scale", few, many, target, str(context.rounds * 10)])
    context.details.setdefault("samples", {})["scale"] = found
    whose = f"store of {count:,} layers"
    return [
        limit(f"open a {whose} (in a new process, after its imports)", opened, OPEN_S),
        Row(f"open a {whose}: the whole process", process, "100 ms", OPEN_S),
        *(
            Row(
                f"{what} in a {whose}",
                min(samples["many"]),
                f"the same in one of {FEW}",
                min(samples["few"]),
                TIMES,
            )
            for what, samples in found.items()
        ),
    ]


def _opening(store: Path, rounds: int) -> tuple[float, float]:
    """Return the best seconds of opening a store, and of a process that does only that."""
    command = [*JOB, "open", store]
    opened = min(answer(command) for _ in range(rounds))
    return opened, min(seconds(command) for _ in range(rounds))
