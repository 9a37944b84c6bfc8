"""What layerfs is asked to do in a process of its own: ``python -m benchmarks.ours JOB …``.

Only what every command of layerfs imports is imported at the top, so that a process costs what one
of layerfs costs.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from layerfs.store import LayerFS
    from layerfs.tarstream import TarReader

TAR: Final = "application/vnd.oci.image.layer.v1.tar"


def layer(source: str, target: str, media_type: str, *said: str) -> None:
    """Do what ``layerfs add`` does, apart from keeping the blob: verify, extract, make durable.

    ``target`` is an empty directory; the tree comes to be at ``diff`` in it. ``said``: digest,
    diffID, and "yes" or "no" for durable.
    """
    from layerfs import earlysync  # noqa: PLC0415
    from layerfs.backends import Features  # noqa: PLC0415
    from layerfs.backends.overlay import OverlayBackend  # noqa: PLC0415
    from layerfs.reading import Expected, read_layer  # noqa: PLC0415
    from layerfs.syscalls import syncfs  # noqa: PLC0415

    digest, diff_id, sync = said
    if sync == "no":
        earlysync.EVERY = sys.maxsize  # type: ignore[misc]  # what is begun early is of no use here
    # What a store of the host's root records when it is made.
    backend = OverlayBackend(Path(target), Features(False, False, False, max_layers=500))
    wanted = Expected(media_type, digest, os.stat(source).st_size, diff_id)
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)

    def extract(reader: TarReader) -> None:
        backend.ingest(reader, Path(target))

    with open(source, "rb", buffering=0) as raw:
        read_layer(raw, wanted, extract)
    if sync == "yes":
        syncfs(fd)


def fill(root: str, count: str) -> None:
    """Have ``count`` tiny layers in the store, made if it is missing."""
    from layerfs.store import LayerFS  # noqa: PLC0415

    with LayerFS.open(root) as store:
        for number in range(int(count)):
            add_tiny(store, number)


def add_tiny(store: LayerFS, number: int) -> str:
    """Add one tiny layer, plain; return its digest."""
    from benchmarks.layouts import tiny_tar  # noqa: PLC0415

    return store.add_layer(io.BytesIO(tiny_tar(number)), TAR).digest


def opening(root: str) -> None:
    """Open a store, and print the seconds that it took; closing it is not in them."""
    from layerfs.store import LayerFS  # noqa: PLC0415

    begin = time.perf_counter()
    store = LayerFS.open(root)
    took = time.perf_counter() - begin
    store.close()
    _answer(took)


def stacking(root: str, target: str, rounds: str, *counts: str) -> None:
    """Print ``{count: {"ours": seconds, "bare": seconds}}``: the first layers stacked at target.

    In turns: ``LayerFS.stack``, and the same directories mounted by nothing but system calls.
    Seconds are lists, one for each round; unmounting is not in them.
    """
    from layerfs.store import LayerFS  # noqa: PLC0415
    from layerfs.syscalls import umount2  # noqa: PLC0415

    found: dict[str, dict[str, list[float]]] = {}
    with LayerFS.open(root) as store:
        for count in counts:
            digests = [tiny_digest(number) for number in range(int(count))]
            trees = [f"{root}/layers/{one.partition(':')[2]}/diff" for one in reversed(digests)]
            found[count] = {"ours": [], "bare": []}
            for _ in range(int(rounds)):
                begin = time.perf_counter()
                store.stack(digests, target)
                found[count]["ours"].append(time.perf_counter() - begin)
                store.unmount(target)
                begin = time.perf_counter()
                bare_mount(trees, target)
                found[count]["bare"].append(time.perf_counter() - begin)
                umount2(target)
    _answer(found)


def bare_mount(trees: list[str], target: str) -> None:
    """Mount an overlay of ``trees``, top first, by the fewest system calls there are."""
    from layerfs import syscalls  # noqa: PLC0415

    context = syscalls.fsopen("overlay")
    for tree in trees:
        syscalls.fsconfig_set_string(context, "lowerdir+", tree)
    syscalls.fsconfig_create(context)
    mount = syscalls.fsmount(context)
    syscalls.move_mount(mount, "", syscalls.AT_FDCWD, target)
    os.close(mount)
    os.close(context)


def scale(few: str, many: str, target: str, rounds: str) -> None:
    """Print ``{"add": {"few": seconds, "many": seconds}, "stack": …, "remove": …}`` of two stores.

    In turns, one tiny layer in both, and the first 10 stacked; unmounting is not in the seconds.
    Each begins with nothing left to write: they share a file system, and each other's syncfs.
    """
    from layerfs.store import LayerFS  # noqa: PLC0415
    from layerfs.syscalls import syncfs  # noqa: PLC0415

    found: dict[str, dict[str, list[float]]] = {
        what: {"few": [], "many": []} for what in ("add", "stack", "remove")
    }
    ten = [tiny_digest(number) for number in range(10)]

    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)

    def timed(what: str, where: str, call: Callable[[], object]) -> None:
        syncfs(fd)
        begin = time.perf_counter()
        call()
        found[what][where].append(time.perf_counter() - begin)

    with LayerFS.open(few) as one, LayerFS.open(many) as other:
        stores = [("few", one), ("many", other)]
        for number in range(1_000_000, 1_000_000 + int(rounds)):
            stores.reverse()
            for where, store in stores:
                timed("add", where, partial(add_tiny, store, number))
            for where, store in stores:
                timed("stack", where, partial(store.stack, ten, target))
                store.unmount(target)
            for where, store in stores:
                timed("remove", where, partial(store.remove_layer, tiny_digest(number)))
    _answer(found)


def merging(root: str, image: str, target: str) -> None:
    """Write an image's layers as one uncompressed layer to a file; print its digest.

    It is hashed in a thread meanwhile, as the command's helper process does.
    """
    from layerfs.contents import contents  # noqa: PLC0415
    from layerfs.handover import Handover  # noqa: PLC0415
    from layerfs.opening import open_parts  # noqa: PLC0415
    from layerfs.store import LayerFS  # noqa: PLC0415

    with LayerFS.open(root, readonly=True) as store:
        diff_ids = next(one.diff_ids for one in store.images() if one.reference == image)
    parts = open_parts(Path(root), readonly=True, recover=False)
    hasher, pieces = hashlib.sha256(), Handover(64)

    def digest() -> None:
        while (piece := pieces.take()) is not None:
            hasher.update(piece)

    with open(target, "wb", buffering=0) as file:

        class Both:
            def write(self, data: bytes) -> None:
                file.write(data)
                pieces.put(bytes(data))

        thread = threading.Thread(target=digest)
        thread.start()
        parts.backend.merge(diff_ids, Both(), parts.staging.path, contents(parts))
        pieces.end()
        thread.join()
    parts.close()
    _answer(f"sha256:{hasher.hexdigest()}")


def tiny_digest(number: int) -> str:
    """Return the digest of a tiny layer, added plain."""
    from benchmarks.layouts import tiny_tar  # noqa: PLC0415

    return f"sha256:{hashlib.sha256(tiny_tar(number)).hexdigest()}"


def _answer(found: object) -> None:
    sys.stdout.write(json.dumps(found) + "\n")


_JOBS: Final[dict[str, Callable[..., None]]] = {
    "layer": layer,
    "fill": fill,
    "open": opening,
    "stack": stacking,
    "merge": merging,
    "scale": scale,
}

if __name__ == "__main__":
    _JOBS[sys.argv[1]](*sys.argv[2:])
