"""Stacks of many layers: in process beside the bare system calls, and as a command.

"Bare" is fsopen, a lowerdir+ for each layer, fsmount and move_mount, and nothing else: no layer is
looked up, nothing is recorded, and a crash would leave the mount to nobody. Unmounting is in no
figure. The layers hold a directory and a file each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks import inputs, peers
from benchmarks.bars import Row, limit
from benchmarks.context import LAYERFS, Context, Task
from benchmarks.measure import JOB, ROOT, Way, answer, best, seconds
from benchmarks.ours import tiny_digest
from benchmarks.packages import Log, run

COUNTS: Final = (2, 64, 128, 500)
#: At most this many times the bare calls, and this many seconds more.
TIMES: Final = 2.0
MORE_S: Final = 0.002
PROCESS_S: Final = 0.150
_OURS: Final = "layerfs stack"
_CTR: Final = "ctr images mount"


def tasks() -> list[Task]:
    """Return the tasks."""
    return [
        Task("stack/in process", _nothing, _in_process),
        Task("stack/command", inputs.tiny_image, _command),
    ]


def bar(bare: float) -> float:
    """Return the ratio that stands for "2 times the bare calls, plus 2 ms"."""
    return TIMES + MORE_S / bare


def _nothing(_log: Log) -> None:
    """Everything is made on the spot."""


def _in_process(context: Context) -> list[Row]:
    context.log("stacking in process")
    with context.ground.fresh() as folder:
        target = folder / "t"
        target.mkdir()
        fill(folder / "store", max(COUNTS))
        job = [*JOB, "stack", folder / "store", target, str(context.rounds * 10)]
        found: dict[str, Any] = answer([*job, *map(str, COUNTS)])
    context.details.setdefault("samples", {})["stack in process"] = found
    rows = []
    for count in COUNTS:
        ours, bare = (min(found[str(count)][who]) for who in ("ours", "bare"))
        name = f"stack {count} layers, in process"
        rows.append(Row(name, ours, "bare system calls (twice, plus 2 ms)", bare, bar(bare)))
    return rows


def fill(store: Path, count: int) -> None:
    """Make a store of ``count`` tiny layers."""
    run([LAYERFS, "--root", store, "init"])
    run([*JOB, "fill", store, str(count)], cwd=ROOT)


def _command(context: Context) -> list[Row]:
    archive = inputs.tiny_image(context.log) / "oci.tar"
    with contextlib.ExitStack() as held:
        folder = held.enter_context(context.ground.fresh())
        store = folder / "store"
        fill(store, inputs.TINY)
        ways = [Way(_OURS, partial(_stack, store))]
        if lacking := peers.missing("containerd", "ctr"):
            context.skip(_CTR, lacking)
        else:
            running = held.enter_context(_imported(folder, archive))
            ways.append(Way(_CTR, partial(_mount, running)))
        samples = context.race(f"stack {inputs.TINY} layers, as a command", ways)
    ours = best(samples, _OURS)
    name = f"the whole `layerfs stack` of {inputs.TINY} layers"
    within = limit(name, ours, PROCESS_S)
    return [
        Row(name, ours, within.other, within.theirs, 1.0),
        *(Row(name, ours, _CTR, best(samples, _CTR), 1.0, below=True) for _ in ways[1:]),
    ]


def _stack(store: Path, folder: Path) -> float:
    target = folder / "t"
    digests = [tiny_digest(number) for number in range(inputs.TINY)]
    took = seconds([LAYERFS, "--root", store, "stack", *digests, target])
    run([LAYERFS, "--root", store, "unmount", target])
    return took


@contextlib.contextmanager
def _imported(folder: Path, archive: Path) -> Iterator[peers.Containerd]:
    place = folder / "c"
    place.mkdir()
    with peers.containerd(place) as running:
        words = ["images", "import", "--snapshotter", "overlayfs", "--base-name", "bench/tiny"]
        run(running.ctr(*words, archive))
        yield running


def _mount(running: peers.Containerd, folder: Path) -> float:
    target = folder / "t"
    target.mkdir()
    name = "bench/tiny:latest"
    took = seconds(running.ctr("images", "mount", "--snapshotter", "overlayfs", name, target))
    run(running.ctr("images", "unmount", "--snapshotter", "overlayfs", "--rm", target))
    return took
