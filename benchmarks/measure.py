"""Time commands and calls side by side: in turns, from the same state, the best of some rounds.

The best, since everything that disturbs makes slower. All samples are kept for the details.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.filesystem import Ground
from benchmarks.packages import BenchError, Log, run

#: Where our package lies; processes that import it start here.
ROOT: Final = Path(__file__).resolve().parent.parent

Command = Sequence[str | Path]
#: A Python that runs a job of ``benchmarks.ours``.
JOB: Final[list[str | Path]] = [sys.executable, "-m", "benchmarks.ours"]
Samples = dict[str, list[float]]


class Way(NamedTuple):
    """One way to do a thing. ``run`` gets an empty directory, and returns the seconds it took.

    ``most``: rounds that are enough for it, where no bar depends on it.
    """

    name: str
    run: Callable[[Path], float]
    most: int | None = None


def race(ways: Sequence[Way], rounds: int, ground: Ground, log: Log) -> Samples:
    """Run all ways in turns, ``rounds`` times; return each one's seconds in order."""
    samples: Samples = {way.name: [] for way in ways}
    for number in range(rounds):
        for way in ways:
            if way.most is not None and number >= way.most:
                continue
            with ground.fresh() as folder:
                samples[way.name].append(way.run(folder))
    for name, seconds in samples.items():
        log(f"  {name}: {' '.join(f'{one:.3f}' for one in seconds)}")
    return samples


def best(samples: Samples, name: str) -> float:
    """Return the best of one way's seconds."""
    return min(samples[name])


def seconds(
    *commands: Command, stdout: Path | None = None, env: Mapping[str, str] | None = None
) -> float:
    """Run one command, or several joined by pipes; return how long it was till all had ended.

    The last one's output goes to ``stdout`` if given. BenchError: one failed, with what it said.
    """
    with open(stdout or "/dev/null", "wb") as out, contextlib.ExitStack() as ended:
        begin = time.perf_counter()
        processes: list[subprocess.Popen[bytes]] = []
        for command in commands:
            last = len(processes) == len(commands) - 1
            before = processes[-1].stdout if processes else None
            one = subprocess.Popen(
                [str(word) for word in command],
                cwd=ROOT,
                env=env,
                stdin=before or subprocess.DEVNULL,
                stdout=out if last else subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            ended.callback(_end, one)
            if before is not None:
                before.close()
            processes.append(one)
        said = [_stderr(one) for one in reversed(processes)]
        statuses = [one.wait() for one in processes]
        took = time.perf_counter() - begin
    for command, status, text in zip(commands, statuses, reversed(said), strict=True):
        if status != 0:
            words = " ".join(str(word) for word in command[:8])
            raise BenchError(f"{words} … ended with {status}:\n{text[-2000:]}")
    return took


def _end(process: subprocess.Popen[bytes]) -> None:
    # When this process is interrupted; otherwise it has ended.
    if process.poll() is None:
        process.kill()
        process.wait()


def answer(command: Command) -> Any:
    """Run a job of ``benchmarks.ours``; return the JSON that it printed. BenchError: it failed."""
    return json.loads(run(command, cwd=ROOT))


def _stderr(process: subprocess.Popen[bytes]) -> str:
    # The errors of a pipeline are short: no other process waits while this one is read.
    assert process.stderr is not None
    with process.stderr:
        return process.stderr.read().decode(errors="backslashreplace")
