"""Mend what ``check`` and ``verify`` find, both ways, and tell what cannot be mended.

Nothing that is whole is thrown away: blobs that no record names are adopted if they are layers or
images (a lost database is rebuilt in this way, but for leases and dependencies, which only it
knew). What is removed: trees without a blob to hold them against, blobs whose content is not what
their name says or that are neither layer nor image, run directories without a view.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import ParamSpec

from layerfs import adding, check
from layerfs.catalog import MountRow
from layerfs.errors import LayerFSError, LayerInUseError, StorageError
from layerfs.garbage import item_error
from layerfs.opening import Parts, make_directories
from layerfs.reading import Expected, read_layer
from layerfs.records import Layer
from layerfs.removal import disk_usage
from layerfs.removing import write_index
from layerfs.reports import Damage, ItemError, RepairReport
from layerfs.verifying import chosen, examine
from layerfs.viewstate import drop_stale

_P = ParamSpec("_P")


class _Report:
    """Collects what was done, and goes on past errors."""

    def __init__(self) -> None:
        self.repaired: dict[str, None] = {}
        self.mended: list[str] = []
        self.failed: list[ItemError] = []

    def attempt(
        self,
        digest: str | None,
        step: Callable[_P, str | None],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> bool:
        """Run a step, which returns a sentence if it mended something; False when it failed."""
        try:
            sentence = step(*args, **kwargs)
        except LayerFSError as error:
            self.failed.append(item_error(digest, error))
            return False
        if sentence:
            self.mended.append(sentence)
        return True


def repair(parts: Parts, digests: Sequence[str] | None) -> RepairReport:
    """Mend the layers of ``digests``, or with None everything; see ``LayerFS.repair``."""
    parts.refuse_readonly()
    report = _Report()
    if digests is None:
        _mend_store(parts, report)
    _mend_layers(parts, chosen(parts, digests), report)
    return RepairReport(tuple(report.repaired), tuple(report.mended), tuple(report.failed))


# --- the store ----------------------------------------------------------------------------------


def _mend_store(parts: Parts, report: _Report) -> None:
    report.attempt(None, _layout, parts)
    for row in parts.meta.mounts():
        report.attempt(None, _stale, parts, row)
    for name in check.orphan_runs(parts):
        report.attempt(None, _orphan_run, parts, name)
    _adopt_blobs(parts, report)
    for problem in check.orphan_trees(parts):
        diff_id = str(problem.digest)
        report.attempt(diff_id, _discard_tree, parts, diff_id)
    for finding in check.datasets(parts):
        report.attempt(None, finding.mend)
    report.attempt(None, _index, parts)
    layers = set(parts.meta.digests())
    report.failed += [
        item_error(problem.digest, StorageError(problem.message))
        for problem in check.missing_blobs(parts)
        if problem.digest not in layers  # those of layers, ``examine`` finds
    ]


def _layout(parts: Parts) -> str | None:
    with parts.lock():
        make_directories(parts.root)
        if parts.blobs.layout_is_whole():
            return None
        parts.blobs.write_layout()
    return "oci-layout written again"


def _index(parts: Parts) -> str | None:
    with parts.lock():
        return "index.json written again" if write_index(parts) else None


def _stale(parts: Parts, row: MountRow) -> str | None:
    with parts.lock():
        dropped = drop_stale(parts, [row])
    return f"forgot the view at {dropped[0].target!r}, which is not mounted" if dropped else None


def _orphan_run(parts: Parts, name: str) -> str:
    run = parts.run / name
    if held := parts.backend.held(run):
        raise LayerInUseError(
            f"run directory {name!r} is of a mounted view that is not recorded (held by "
            f"{held[0]}); unmount it with umount(8), then repair again",
            path=run,
            holder=held[0],
        )
    parts.backend.forget_view(run)
    return f"removed run directory {name!r} of no view"


def _discard_tree(parts: Parts, diff_id: str) -> str | None:
    with parts.staging.operation() as operation, parts.lock():
        if parts.meta.layers_of(diff_id):
            return None
        parts.backend.discard(diff_id, operation.trash)
    return f"removed the tree of diffID {diff_id}, which has no blob"


# --- adoption -----------------------------------------------------------------------------------


def _adopt_blobs(parts: Parts, report: _Report) -> None:
    orphans = [str(problem.digest) for problem in check.orphan_blobs(parts)]
    if not orphans:
        return
    from layerfs import adopting  # noqa: PLC0415 - brings pydantic

    for documents, names in adopting.images(parts, orphans):
        manifest = documents.descriptor.digest
        report.attempt(manifest, adopting.adopt_image, parts, documents, names)
    for digest in orphans:
        if not parts.meta.roots.uses_blob(digest):
            report.attempt(digest, adopting.adopt_or_remove, parts, digest)
    report.repaired.update((one, None) for one in orphans if parts.meta.has_layer(one))


# --- layers -------------------------------------------------------------------------------------


def _mend_layers(parts: Parts, layers: Sequence[Layer], report: _Report) -> None:
    extracted: dict[str, bool] = {}
    damaged: list[tuple[Layer, list[Damage]]] = []
    for layer in layers:
        report.attempt(layer.digest, _find, parts, layer, damaged)
    for layer, damage in damaged:
        if layer.diff_id not in extracted:
            if _blob_is_damaged(damage):
                report.attempt(layer.digest, _refuse, layer, damage)
                continue
            extracted[layer.diff_id] = report.attempt(layer.digest, extract_again, parts, layer)
        if extracted[layer.diff_id]:
            report.repaired[layer.digest] = None


def _find(parts: Parts, layer: Layer, damaged: list[tuple[Layer, list[Damage]]]) -> None:
    if damage := examine(parts, layer):
        damaged.append((layer, damage))


def _blob_is_damaged(damage: Sequence[Damage]) -> bool:
    return any(one.path is None for one in damage)


def _refuse(layer: Layer, damage: Sequence[Damage]) -> str:
    raise StorageError(
        f"the blob of layer {layer.digest} is damaged ({damage[0].problem}); add the layer again, "
        "and it is replaced",
        digest=layer.digest,
    )


def extract_again(parts: Parts, layer: Layer) -> None:
    """Replace a layer's tree by a fresh one of its blob. LayerInUseError: it is mounted."""
    expected = Expected(layer.media_type, layer.digest, layer.size, layer.diff_id)
    with parts.staging.operation() as operation:
        ingest = adding.Ingest(parts, operation)
        with parts.blobs.open(layer.digest) as raw:
            read_layer(raw, expected, ingest, parts.limits)
        operation.intend("replace", diff_id=layer.diff_id)
        operation.sync()
        with parts.lock():
            for digest in parts.meta.layers_of(layer.diff_id):
                rows = parts.meta.mounts(digest=digest)
                drop_stale(parts, rows)
                if rows := parts.meta.mounts(digest=digest):
                    # overlayfs: changing a layer under a mount is undefined behaviour.
                    raise LayerInUseError(
                        f"layer {digest} is mounted at {rows[0].target!r}; unmount it, then repair",
                        digest=digest,
                        holder=f"mount {os.fspath(rows[0].target)}",
                    )
            size = disk_usage(operation.tree)
            parts.backend.discard(layer.diff_id, operation.trash)
            parts.backend.publish(operation.tree, layer.diff_id)
            with parts.meta.transaction():
                parts.meta.put_tree(layer.diff_id, size)
