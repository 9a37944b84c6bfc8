"""``python -m benchmarks``: measure, print the table, write ``build/bench.json`` and the picture.

Two steps: as the user called it, inputs are made and peers installed; then it starts itself anew in
a mount and PID namespace of its own, where it measures. So no mount and no process outlives it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

from benchmarks import (
    bars,
    images,
    layers,
    machine,
    memory,
    merging,
    peers,
    program,
    scale,
    stacking,
)
from benchmarks.context import Context, Task
from benchmarks.filesystem import mounted
from benchmarks.packages import BenchError, run
from benchmarks.program import say

_INSIDE: Final = "LAYERFS_BENCH_INSIDE"


def main(arguments: list[str]) -> int:
    """Do what the arguments say; return 1 when a bar does not hold, 2 when a task failed."""
    given = _parser().parse_args(arguments)
    chosen = [task for task in _tasks() if _wanted(task, given.only)]
    if given.list:
        say("\n".join(task.name for task in chosen))
        return 0
    if not chosen:
        say(f"no task's name has {given.only} in it; see --list")
        return 2
    if os.geteuid() != 0:
        say("the benchmark makes a file system and mounts it: run it as root")
        return 2
    try:
        if os.environ.get(_INSIDE) != str(os.getppid()):
            if given.install:
                peers.install(say)
            run(["unshare", "--mount", "--pid", "--fork", "true"])  # refused in most containers
            for task in chosen:
                task.prepare(say)
            _start_inside(arguments)
        return _measure(chosen, given)
    except BenchError as error:
        say(f"bench: {error}")
        return 2
    except KeyboardInterrupt:
        say("interrupted")
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
    parser.add_argument("--list", action="store_true", help="list the tasks")
    parser.add_argument("--place", type=Path, default=Path("/var/tmp"), help="of the file system")  # noqa: S108
    program.options(parser, quick="one round, and a smaller store")
    return parser


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
    program.end_by_sigterm()
    begin = time.monotonic()
    rows: list[bars.Row] = []
    failed: list[str] = []
    known = machine.facts()
    program.remark(known)
    with mounted(given.place, say) as ground:
        context = Context(ground, 1 if given.quick else given.rounds, say, given.quick)
        for task in chosen:
            try:
                rows += task.run(context)
            except BenchError as error:
                say(f"{task.name} could not be measured: {error}")
                failed.append(task.name)
        details = {**known, "direct_io": ground.direct, "rounds": context.rounds, **context.details}
    details |= {"failed": failed, "seconds": round(time.monotonic() - begin)}
    title = "layerfs, side by side with what people run today"
    status = program.publish(rows, details, folder=given.output, stem="bench", title=title)
    if failed:
        say(f"not measured, see above: {', '.join(failed)}")
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
