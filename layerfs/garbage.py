"""Garbage collection: mark what images, leases, views and kept layers need; remove the rest.

Marking follows dependencies, so that one pass reaches the fixed point; it is repeated for each
batch all the same, since the store's lock is let go of in between. Layers that are being added are
not recorded yet, and so cannot be touched.
"""

from __future__ import annotations

from typing import Final

from layerfs import check
from layerfs.errors import LayerFSError
from layerfs.opening import Parts
from layerfs.ordering import dependents_first, edges_of
from layerfs.removing import forget, release
from layerfs.reports import GarbageReport, ItemError
from layerfs.viewstate import drop_stale, is_live

#: Layers removed under one hold of the lock, and by one commit.
_BATCH: Final = 256


def collect(parts: Parts, *, dry_run: bool, force: bool) -> GarbageReport:
    """Remove what nothing keeps; with ``dry_run`` only say what that is.

    ``force`` ignores leases, except those of operations that are under way. Bytes are those that
    were measured on disk when the layers were added. A layer whose files cannot be deleted is
    reported, and left to recovery.
    """
    if dry_run:
        garbage = _garbage(parts, force=force)
        return GarbageReport(tuple(garbage), _bytes(parts, garbage))
    parts.refuse_readonly()
    removed: list[str] = []
    errors = _leftovers(parts)  # they may be clones of what is to be removed
    freed = 0
    stuck: set[str] = set()
    while True:
        with parts.staging.operation() as operation:
            with parts.lock():
                _drop_stale(parts, errors)
                garbage = [one for one in _garbage(parts, force=force) if one not in stuck]
                batch = garbage[:_BATCH]
                if not batch:
                    break
                layers = [
                    (digest, layer.diff_id)
                    for digest in batch
                    if (layer := parts.meta.layer(digest)) is not None
                ]
                kept = _kept(parts, layers)
                stuck.update(kept)
                errors += [item_error(digest, error) for digest, error in kept.items()]
                layers = [one for one in layers if one[0] not in kept]
                batch = [digest for digest, _ in layers]
                freed_now = _bytes(parts, batch)
                failed = forget(parts, operation, layers)
            errors += [item_error(digest, error) for digest, error in failed.items()]
            try:
                operation.empty_trash()
            except LayerFSError as error:
                errors.append(item_error(None, error))
            removed += [digest for digest in batch if digest not in failed]
            freed += freed_now
    return GarbageReport(tuple(removed), freed, tuple(errors))


def _kept(parts: Parts, layers: list[tuple[str, str]]) -> dict[str, LayerFSError]:
    """Return those of the layers that somebody outside of the store keeps, and who."""
    kept: dict[str, LayerFSError] = {}
    for digest, diff_id in layers:
        try:
            release(parts, digest, diff_id)
        except LayerFSError as error:
            kept[digest] = error
    return kept


def _leftovers(parts: Parts) -> list[ItemError]:
    """Destroy datasets of views that have ended while somebody had a snapshot of them."""
    errors = []
    for finding in check.datasets(parts):
        if finding.kind == "left-dataset":
            try:
                finding.mend()
            except LayerFSError as error:
                errors.append(item_error(None, error))
    return errors


def _garbage(parts: Parts, *, force: bool) -> list[str]:
    """Return the layers that nothing keeps, dependents first."""
    meta = parts.meta
    roots = meta.roots.layers_of_images() | meta.roots.leased(operations_only=force)
    for row in meta.mounts():
        if is_live(parts, row):
            roots.update(row.digests)
    edges = edges_of(meta)
    waiting = list(roots)
    kept = set(roots)
    while waiting:
        fresh = [need for need in edges.get(waiting.pop(), ()) if need not in kept]
        kept.update(fresh)
        waiting += fresh
    return dependents_first((one for one in meta.digests() if one not in kept), edges)


def _bytes(parts: Parts, garbage: list[str]) -> int:
    """Return the bytes on disk that the layers alone take: a tree shared with a kept one stays."""
    gone = set(garbage)
    total = 0
    trees: dict[str, int] = {}
    for digest in garbage:
        layer = parts.meta.layer(digest)
        if layer is None:
            continue
        blob, tree = parts.meta.bytes_of(digest)
        if not parts.backend.keeps_trees:
            tree = parts.backend.size(layer.diff_id)
        total += blob
        if gone.issuperset(parts.meta.layers_of(layer.diff_id)):
            trees[layer.diff_id] = tree
    return total + sum(trees.values())


def _drop_stale(parts: Parts, errors: list[ItemError]) -> None:
    for row in parts.meta.mounts():
        try:
            drop_stale(parts, [row])
        except LayerFSError as error:
            errors.append(item_error(None, error))


def item_error(digest: str | None, error: LayerFSError) -> ItemError:
    """Return the error of one item of many."""
    return ItemError(digest, error.code, error.message)
