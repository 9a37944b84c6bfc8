"""Compare what is recorded with what is on disk and mounted, both ways. Reads names, no contents.

The cost grows with the number of layers, not with their files: contents are for ``verify``.
Kinds of problems, each of which ``repair`` mends or explains:

    database             SQLite finds its file damaged
    missing-blob         a layer's or image's blob is not there, or not as long as recorded
    missing-tree         a layer's tree is not there
    orphan-blob          a blob that nothing recorded names
    orphan-tree          a tree that no layer has
    stale-mount          a view is recorded, and mounted nowhere
    orphan-run           a run directory of no view
    dead-operation       an operation died, and could not be undone when the store was opened
    index                index.json, or oci-layout, is not what it must be

Of a store on ZFS, ``datasets`` has more.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from layerfs import digest as digests_
from layerfs.errors import from_os_error
from layerfs.opening import Parts
from layerfs.removing import index_of
from layerfs.reports import Problem
from layerfs.viewstate import is_live

if TYPE_CHECKING:
    from layerfs.datasets import Finding


def check(parts: Parts) -> list[Problem]:
    """Return everything that disagrees."""
    damage = [Problem("database", line) for line in parts.meta.database.damage()]
    if damage:
        return damage
    return [
        *missing_blobs(parts),
        *missing_trees(parts),
        *orphan_blobs(parts),
        *orphan_trees(parts),
        *_stale_mounts(parts),
        *_orphan_runs(parts),
        *_dead_operations(parts),
        *_index(parts),
        *(Problem(one.kind, one.message, path=one.dataset) for one in datasets(parts)),
    ]


def datasets(parts: Parts) -> list[Finding]:
    """Find out what does not agree in the pool of a store on ZFS, and what would mend it."""
    if parts.backend.dataset is None:
        return []
    from layerfs.datasets import findings  # noqa: PLC0415 - with a dataset only

    return findings(parts)


def missing_blobs(parts: Parts) -> list[Problem]:
    """Find recorded blobs that are not there, or of another length."""
    expected: list[tuple[str, int | None, str]] = [
        (layer.digest, layer.size, "layer") for layer in parts.meta.layers()
    ]
    for image in parts.meta.roots.images():
        expected.append((image.manifest, image.size, "manifest"))
        expected.append((image.config, None, "configuration"))
    found = []
    for digest, size, what in expected:
        there = parts.blobs.size(digest)
        if there is None or (size is not None and there != size):
            how = "is missing" if there is None else f"has {there} bytes instead of {size}"
            found.append(
                Problem(
                    "missing-blob",
                    f"the blob of {what} {digest} {how}; add it again to restore it",
                    digest,
                    os.fspath(parts.blobs.path(digest)),
                )
            )
    return found


def missing_trees(parts: Parts) -> list[Problem]:
    """Find layers whose tree is not there."""
    if not parts.backend.keeps_trees:
        return []
    there = set(parts.backend.enumerate())
    return [
        Problem("missing-tree", f"the tree of layer {layer.digest} is missing", layer.digest)
        for layer in parts.meta.layers()
        if layer.diff_id not in there
    ]


def orphan_blobs(parts: Parts) -> list[Problem]:
    """Find blobs that nothing recorded names. The lock: not those that are just being added."""
    with parts.quiet():
        orphans = [one for one in parts.blobs.enumerate() if not parts.meta.roots.uses_blob(one)]
    return [
        Problem(
            "orphan-blob",
            f"blob {digest} belongs to no layer and no image",
            digest,
            os.fspath(parts.blobs.path(digest)),
        )
        for digest in orphans
    ]


def orphan_trees(parts: Parts) -> list[Problem]:
    """Find trees that no layer has."""
    with parts.quiet():
        orphans = [one for one in parts.backend.enumerate() if not parts.meta.layers_of(one)]
    return [
        Problem("orphan-tree", f"the tree of diffID {one} has no layer", one) for one in orphans
    ]


def _stale_mounts(parts: Parts) -> list[Problem]:
    return [
        Problem(
            "stale-mount",
            f"the view at {row.target!r} is recorded, but mounted nowhere",
            path=row.target,
        )
        for row in parts.meta.mounts()
        if not is_live(parts, row)
    ]


def orphan_runs(parts: Parts) -> list[str]:
    """Return the names in ``run`` that belong to no recorded view, and to no living operation."""
    with parts.quiet():
        return [
            name
            for name in _listed(parts)
            if parts.meta.mount(name) is None and not parts.staging.alive(name)
        ]


def _orphan_runs(parts: Parts) -> list[Problem]:
    return [
        Problem(
            "orphan-run",
            f"run directory {name!r} belongs to no view",
            path=os.fspath(parts.run / name),
        )
        for name in orphan_runs(parts)
    ]


def _dead_operations(parts: Parts) -> list[Problem]:
    return [
        Problem(
            "dead-operation",
            f"operation {name!r} died, and is not undone yet; open the store to retry",
            path=os.fspath(parts.staging.path / name),
        )
        for name in parts.staging.remains()
    ]


def _listed(parts: Parts) -> list[str]:
    try:
        return sorted(os.listdir(parts.run))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, "listing", str(parts.run)) from error


def _index(parts: Parts) -> list[Problem]:
    found = []
    with parts.quiet():
        if not parts.blobs.index_is(index_of(parts)):
            found.append("index.json does not name the images of the store")
    if not parts.blobs.layout_is_whole():
        found.append("oci-layout is missing or damaged")
    found += [
        f"there is no directory blobs/{algorithm}"
        for algorithm in digests_.ALGORITHMS
        if not (parts.root / "blobs" / algorithm).is_dir()
    ]
    return [Problem("index", line, path=os.fspath(parts.root / "index.json")) for line in found]
