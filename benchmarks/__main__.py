"""``python -m benchmarks``: measure, print the table, write ``build/bench.json`` and the picture.

Two steps: as the user called it, inputs are made and peers installed; then it starts itself anew in
a mount and PID namespace of its own, where it measures. So no mount and no process outlives it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from rich.console import Console

from benchmarks import (
    bars,
    images,
    layers,
    machine,
    memory,
    merging,
    peers,
    scale,
    stacking,
    svg,
    table,
)
from benchmarks.context import Context, Task
from benchmarks.filesystem import mounted
from benchmarks.measure import ROOT
from benchmarks.packages import BenchError, run

_INSIDE: Final = "LAYERFS_BENCH_INSIDE"
_ROUNDS: Final = 5
#: Load above which others' work shows in the figures.
_BUSY: Final = 0.5


def main(arguments: list[str]) -> int:
    """Do what the arguments say; return 1 when a bar does not hold, 2 when a task failed."""
    given = _parser().parse_args(arguments)
    chosen = [task for task in _tasks() if _wanted(task, given.only)]
    if given.list:
        _log("\n".join(task.name for task in chosen))
        return 0
    if not chosen:
        _log(f"no task's name has {given.only} in it; see --list")
        return 2
    if os.geteuid() != 0:
        _log("the benchmark makes a file system and mounts it: run it as root")
        return 2
    try:
        if os.environ.get(_INSIDE) != str(os.getppid()):
            if given.install:
                peers.install(_log)
            run(["unshare", "--mount", "--pid", "--fork", "true"])  # refused in most containers
            for task in chosen:
                task.prepare(_log)
            _start_inside(arguments)
        return _measure(chosen, given)
    except BenchError as error:
        _log(f"bench: {error}")
        return 2
    except KeyboardInterrupt:
        _log("interrupted")
        return 130


def _tasks() -> list[Task]:
    parts = (layers, images, stacking, merging, memory, scale)
    return [task for part in parts for task in part.tasks()]


def _wanted(task: Task, only: list[str] | None) -> bool:
    return not only or any(text in task.name for text in only)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", metavar="TEXT", help="tasks with TEXT in them")
    parser.add_argument("--install", action="store_true", help="apt-get install missing peers")
    parser.add_argument("--quick", action="store_true", help="one round, and a smaller store")
    parser.add_argument("--list", action="store_true", help="list the tasks")
    parser.add_argument(
        "--rounds", type=_rounds, default=_ROUNDS, metavar="N", help="of each measure"
    )
    parser.add_argument("--place", type=Path, default=Path("/var/tmp"), help="of the file system")  # noqa: S108
    parser.add_argument("--output", type=Path, default=ROOT / "build", help="default: build/")
    return parser


def _rounds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"rounds must be 1 or more, not {text!r}")
    return int(text)


def _start_inside(arguments: list[str]) -> NoReturn:
    # --kill-child: this process becomes `unshare`; what it starts dies with it, and as that is the
    # first process of its namespace, all others there die with that.
    words = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
    words += ["--mount-proc", sys.executable, "-m", "benchmarks", *arguments]
    # Seen from inside, the parent of the first process is 0.
    os.environ[_INSIDE] = "0"
    sys.stdout.flush()
    os.execvp(words[0], words)  # noqa: S606 - an argument list, no shell


def _measure(chosen: list[Task], given: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, _end)
    begin = time.monotonic()
    rows: list[bars.Row] = []
    failed: list[str] = []
    known = machine.facts()
    _log("\n".join(machine.remarks(known)))
    if known["load"] > _BUSY:
        _log(f"the machine is busy (load {known['load']:.1f}): the figures will not mean much")
    with mounted(given.place, _log) as ground:
        context = Context(ground, 1 if given.quick else given.rounds, _log, given.quick)
        for task in chosen:
            try:
                rows += task.run(context)
            except BenchError as error:
                _log(f"{task.name} could not be measured: {error}")
                failed.append(task.name)
        details = {**known, "direct_io": ground.direct, "rounds": context.rounds, **context.details}
    took = time.monotonic() - begin
    bars.write_json(rows, given.output / "bench.json")
    details |= {"failed": failed, "seconds": round(took), "load_after": os.getloadavg()[0]}
    (given.output / "bench-details.json").write_text(json.dumps(details, indent=1) + "\n")
    title = "layerfs, side by side with what people run today"
    (given.output / "bench.svg").write_text(svg.picture(rows, title, machine.remarks(known)))
    table.show(Console(highlight=False, width=_width()), rows)
    for skipped in details.get("skipped", []):
        _log(f"skipped: {skipped}")
    _log(f"measured in {took:.0f} s; {given.output}/bench.json, bench-details.json, bench.svg")
    if failed:
        _log(f"not measured, see above: {', '.join(failed)}")
        return 2
    return 1 if bars.missed(rows) else 0


def _width() -> int | None:
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _log(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
