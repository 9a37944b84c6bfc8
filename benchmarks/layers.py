"""One layer applied to an empty directory, against what a shell does: a decompressor and tar.

Ours verifies the blob's digest, its size and the diffID, makes whiteouts and xattrs, cannot be led
out of its directory, and is durable at the end (syncfs). tar does, and is, none of that.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import inputs, listing
from benchmarks.bars import Row
from benchmarks.context import LAYERFS, Context, Task
from benchmarks.inputs import LayerFile
from benchmarks.measure import JOB, Samples, Way, best, seconds
from benchmarks.packages import BenchError, Log

_TAR: Final = "application/vnd.oci.image.layer.v1.tar"
_GZIP: Final = f"{_TAR}+gzip"
GZIP_BAR: Final = 0.9
PLAIN_BAR: Final = 1.2

#: Rounds of what only informs.
_INFORMS: Final = 2
_OURS: Final = "layerfs"
_OFF: Final = "layerfs, not durable"
_ADD: Final = "layerfs add"


def tasks() -> list[Task]:
    """Return a task for each input and form."""
    found: list[Task] = []
    for name, made in (("small", inputs.small), ("large", inputs.large), ("real", inputs.real)):
        found += [
            Task(f"layer/{name}.tar.gz", made, partial(_packed, name, made)),
            Task(f"layer/{name}.tar", made, partial(_plain, name, made)),
        ]
    return found


def untar(folder: Path, source: Path | str) -> list[str | Path]:
    """Return the command that extracts ``source`` ("-": its input) into ``folder``."""
    return ["tar", "--numeric-owner", "-C", folder, "-xf", source]


def _packed(name: str, made: Callable[[Log], LayerFile], context: Context) -> list[Row]:
    layer = made(context.log)
    layer.warm()

    def piped(program: str, folder: Path) -> float:
        return seconds([program, "-dc", layer.gz], untar(folder, "-"))

    ways = [Way("gzip -dc | tar -x", partial(piped, "gzip"))]
    if shutil.which("pigz"):
        ways.append(Way("pigz -dc | tar -x", partial(piped, "pigz"), _INFORMS))
    else:
        context.skip("pigz -dc | tar -x", "pigz is missing")
    samples = _race(context, f"{name}.tar.gz", layer, ways, packed=True)
    return _rows(samples, f"apply {name}.tar.gz", ways, GZIP_BAR)


def _plain(name: str, made: Callable[[Log], LayerFile], context: Context) -> list[Row]:
    layer = made(context.log)
    layer.warm()
    ways = [Way("tar -x", lambda folder: seconds(untar(folder, layer.tar)))]
    samples = _race(context, f"{name}.tar", layer, ways, packed=False)
    return _rows(samples, f"apply {name}.tar", ways, PLAIN_BAR)


def _race(
    context: Context, title: str, layer: LayerFile, others: list[Way], *, packed: bool
) -> Samples:
    """Measure ours and the others in turns; BenchError when the trees are not equal."""
    listed: dict[str, str] = {}

    def looked_at(way: Way, place: str) -> Way:
        def run(folder: Path) -> float:
            took = way.run(folder)
            if way.name not in listed:
                listed[way.name] = listing.of(folder / place)
            return took

        return Way(way.name, run, way.most)

    ours = looked_at(Way(_OURS, partial(_apply, layer, packed=packed, sync="yes")), "diff")
    ways = [
        ours,
        *(looked_at(way, ".") for way in others),
        Way(_OFF, partial(_apply, layer, packed=packed, sync="no"), _INFORMS),
        Way(_ADD, partial(_add, layer, packed=packed), _INFORMS),
    ]
    samples = context.race(f"apply {title}", ways)
    for other in others:
        if found := listing.difference(listed[_OURS], listed[other.name]):
            raise BenchError(f"{title}: ours and `{other.name}` made different trees: {found}")
    return samples


def _rows(samples: Samples, title: str, others: list[Way], bar: float) -> list[Row]:
    ours = best(samples, _OURS)
    first, *rest = (Row(title, ours, way.name, best(samples, way.name)) for way in others)
    return [
        Row(first.name, first.ours, first.other, first.theirs, bar),
        *rest,
        Row(f"{title}, durability off", best(samples, _OFF), first.other, first.theirs),
        Row(f"{title}, whole `layerfs add`", best(samples, _ADD), first.other, first.theirs),
    ]


def _apply(layer: LayerFile, folder: Path, *, packed: bool, sync: str) -> float:
    source, digest = (layer.gz, layer.gz_digest) if packed else (layer.tar, layer.diff_id)
    said = [_GZIP if packed else _TAR, digest, layer.diff_id, sync]
    return seconds([*JOB, "layer", source, folder, *said])


def _add(layer: LayerFile, folder: Path, *, packed: bool) -> float:
    root = folder / "store"
    source, digest = (layer.gz, layer.gz_digest) if packed else (layer.tar, layer.diff_id)
    seconds([LAYERFS, "--root", root, "init"])
    said = ["--digest", digest, "--diff-id", layer.diff_id]
    return seconds([LAYERFS, "--root", root, "add", source, *said])
