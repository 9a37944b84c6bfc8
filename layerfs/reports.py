"""What a store answers when it has looked at itself or cleaned up. No I/O, no validation.

Apart from ``records``, which every process needs that stacks layers.
"""

from __future__ import annotations

from typing import NamedTuple


class Damage(NamedTuple):
    """A finding of verify; ``path`` is within the layer ("." is its root), None for the blob."""

    digest: str
    path: str | None
    problem: str


class ItemError(NamedTuple):
    """One item that an operation on many went past, with the code and text of its error."""

    digest: str | None
    code: str
    message: str


class Problem(NamedTuple):
    """A finding of check: where metadata, disk and mounts disagree."""

    kind: str
    message: str
    digest: str | None = None
    path: str | None = None


class RepairReport(NamedTuple):
    """Layers that are whole again, other things mended (as sentences), and what could not be."""

    repaired: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
    failed: tuple[ItemError, ...] = ()


class GarbageReport(NamedTuple):
    """Layers removed, or that would be; the bytes on disk that were theirs; bad items."""

    removed: tuple[str, ...] = ()
    bytes_freed: int = 0
    errors: tuple[ItemError, ...] = ()


class DatasetSpace(NamedTuple):
    """The space of a store's dataset and all below it, as ZFS counts it (zfsprops(7)); bytes.

    ``used`` is what destroying it would free; ``compressratio`` has two digits behind the point.
    """

    dataset: str
    used: int
    available: int
    compressratio: str


class Stats(NamedTuple):
    """Counts of layers, and the bytes of blobs and trees on disk."""

    layers: int
    mounted: int  #: in at least one live view
    referenced: int  #: kept by an image, a lease, or as a dependency
    unused: int  #: neither mounted nor referenced
    mounts: int
    bytes_total: int
    space: DatasetSpace | None  #: of a store on ZFS
