"""An image made one uncompressed layer, against `tar -c` of its mounted stack, and buildah.

Two things of ours are measured. *The layer alone* is what tar does, and more: whiteouts resolved,
a file written, its digest computed. The command `layerfs merge` also extracts and stores the new
layer, durably, as `buildah commit` does, so that one is held to buildah, and shown beside tar. The
files and the stores lie on the same file system.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import inputs, peers
from benchmarks.bars import Row
from benchmarks.context import LAYERFS, Context, Task
from benchmarks.measure import JOB, Way, best, seconds
from benchmarks.packages import BenchError, Log, run

_OURS: Final = "layerfs merge"
_ALONE: Final = "the layer alone"
_TAR: Final = "tar -c of the mounted stack"
_BUILDAH: Final = "buildah commit --squash --disable-compression"
TAR_BAR: Final = 1.5
BUILDAH_BAR: Final = 0.3


def tasks() -> list[Task]:
    """Return a task for each image."""
    return [
        Task("merge/real", inputs.image, partial(_run, "real image", inputs.image, 3)),
        Task("merge/wide", inputs.wide_image, partial(_run, "wide image", inputs.wide_image, 2)),
    ]


def _run(name: str, made: Callable[[Log], Path], most: int, context: Context) -> list[Row]:
    """Measure in at most that many rounds: they take minutes, and vary less than a layer's."""
    layout = made(context.log) / "oci"
    with contextlib.ExitStack() as held:
        folder = held.enter_context(context.ground.fresh())
        store, mounted = folder / "store", folder / "mounted"
        run([LAYERFS, "--root", store, "init"])
        run([LAYERFS, "--root", store, "import", layout])
        run([LAYERFS, "--root", store, "stack", "latest", mounted])
        held.callback(run, [LAYERFS, "--root", store, "unmount", mounted])
        ways = [
            Way(_OURS, partial(_merge, store)),
            Way(_ALONE, partial(_write, store)),
            Way(_TAR, partial(_tar, mounted)),
        ]
        if lacking := peers.missing("skopeo", "buildah"):
            context.skip(_BUILDAH, lacking)
        else:
            storage = peers.Storage(folder)
            seconds(storage.copy(layout), env=storage.env)
            pull = ("from", "--pull-never", "--name", "bench", storage.IMAGE)
            seconds(storage.buildah(*pull), env=storage.env)
            ways.append(Way(_BUILDAH, partial(_squash, storage)))
        samples = context.race(f"merge {name}", ways, min(most, context.rounds))
    whole, tar = best(samples, _OURS), best(samples, _TAR)
    rows = [
        Row(f"merge {name}, the layer with its digest", best(samples, _ALONE), _TAR, tar, TAR_BAR),
        Row(f"merge {name}, stored and extracted as well", whole, _TAR, tar),
    ]
    if _BUILDAH in samples:
        rows.append(Row(f"merge {name}", whole, _BUILDAH, best(samples, _BUILDAH), BUILDAH_BAR))
    return rows


def _merge(store: Path, folder: Path) -> float:
    before = _layers(store)
    took = seconds([LAYERFS, "--root", store, "merge", "latest"], stdout=folder / "said")
    new = _layers(store) - before
    if len(new) != 1:
        raise BenchError(f"`layerfs merge` made {len(new)} layers")
    run([LAYERFS, "--root", store, "remove", *new])
    return took


def _write(store: Path, folder: Path) -> float:
    written, said = folder / "merged.tar", folder / "said"
    took = seconds([*JOB, "merge", store, "latest", written], stdout=said)
    with open(written, "rb") as file:
        found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if json.loads(said.read_bytes()) != found:
        raise BenchError("the layer that was written has another digest than was said")
    return took


def _layers(store: Path) -> set[str]:
    answered = json.loads(run([LAYERFS, "--root", store, "--json", "list"]))
    return {layer["digest"] for layer in answered["layers"]}


def _tar(mounted: Path, folder: Path) -> float:
    return seconds(["tar", "--numeric-owner", "-C", mounted, "-cf", folder / "merged.tar", "."])


def _squash(storage: peers.Storage, _folder: Path) -> float:
    name = "localhost/squashed:latest"
    commit = ("commit", "-q", "--squash", "--disable-compression", "bench", name)
    took = seconds(storage.buildah(*commit), env=storage.env)
    seconds(storage.buildah("rmi", name), env=storage.env)
    return took
