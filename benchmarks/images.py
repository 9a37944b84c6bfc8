"""A whole image, stored and extracted by one command, against what others need for it.

The same OCI layout for everybody, in the page cache. Ours is `layerfs import` into a new store:
blobs kept, all digests and diffIDs verified, durable. tar gets a directory for each layer,
as a layer store has.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import inputs, peers
from benchmarks.bars import Row
from benchmarks.context import LAYERFS, Context, Task
from benchmarks.layers import untar
from benchmarks.measure import Way, best, seconds
from benchmarks.packages import Log

_OURS: Final = "layerfs import"
_TAR: Final = "pigz -dc | tar -x"
_UMOCI: Final = "umoci unpack"
_SKOPEO: Final = "skopeo copy containers-storage:"
_CTR: Final = "ctr images import"
BARS: Final = {_TAR: 1.0, _UMOCI: 0.25, _SKOPEO: 0.35, _CTR: 0.35}
NEEDS: Final = {
    _TAR: ("pigz",),
    _UMOCI: ("umoci",),
    _SKOPEO: ("skopeo",),
    _CTR: ("containerd", "ctr"),
}


def tasks() -> list[Task]:
    """Return a task for each image."""
    return [
        Task("image/real", inputs.image, partial(_run, "real image", inputs.image, 3)),
        Task("image/wide", inputs.wide_image, partial(_run, "wide image", inputs.wide_image, 2)),
    ]


def _run(name: str, made: Callable[[Log], Path], most: int, context: Context) -> list[Row]:
    """Measure in at most that many rounds: they take minutes, and vary less than a layer's."""
    folder = made(context.log)
    layout = folder / "oci"
    calls: dict[str, Callable[[Path], float]] = {
        _TAR: partial(_tar, layout),
        _UMOCI: lambda place: seconds(peers.unpacked_by_umoci(layout, place)),
        _SKOPEO: partial(_skopeo, layout),
        _CTR: partial(_ctr, folder / "oci.tar"),
    }
    ways = [Way(_OURS, partial(_import, layout))]
    for other, call in calls.items():
        if lacking := peers.missing(*NEEDS[other]):
            context.skip(other, lacking)
        else:
            ways.append(Way(other, call))
    samples = context.race(f"import {name}", ways, min(most, context.rounds))
    ours = best(samples, _OURS)
    return [
        Row(f"import {name}", ours, way.name, best(samples, way.name), BARS[way.name])
        for way in ways[1:]
    ]


def _import(layout: Path, place: Path) -> float:
    store = place / "store"
    seconds([LAYERFS, "--root", store, "init"])
    return seconds([LAYERFS, "--root", store, "import", layout])


def _tar(layout: Path, place: Path) -> float:
    took = 0.0
    for number, blob in enumerate(_blobs(layout)):
        folder = place / str(number)
        folder.mkdir()
        took += seconds(["pigz", "-dc", blob], untar(folder, "-"))
    return took


def _blobs(layout: Path) -> list[Path]:
    """Return the blobs of the layers, base first."""

    def document(digest: str) -> Path:
        return layout / "blobs" / Path(*digest.split(":"))

    index = json.loads((layout / "index.json").read_bytes())
    manifest = json.loads(document(index["manifests"][0]["digest"]).read_bytes())
    return [document(layer["digest"]) for layer in manifest["layers"]]


def _skopeo(layout: Path, place: Path) -> float:
    storage = peers.Storage(place)
    return seconds(storage.copy(layout), env=storage.env)


def _ctr(archive: Path, place: Path) -> float:
    with peers.containerd(place) as running:
        return seconds(running.ctr("images", "import", "--snapshotter", "overlayfs", archive))
