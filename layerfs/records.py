"""The values that a store answers with. No I/O, no validation: they come from the store itself.

Lists of layers are base first. Digests are canonical text (``sha256:<hex>``). Named tuples rather
than dataclasses, which take a millisecond each to make, at each start of the command.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Layer(NamedTuple):
    """One layer, named by ``digest``: that of the blob as it was added, compressed or not."""

    digest: str
    diff_id: str  #: sha256 of the uncompressed tar, always
    size: int  #: bytes of the blob
    media_type: str
    dependencies: tuple[str, ...] = ()
    annotations: Mapping[str, str] = _NONE


class Mount(NamedTuple):
    """A mounted view. ``target`` is absolute, as the kernel shows it."""

    target: str
    digests: tuple[str, ...]
    writable: bool


class Image(NamedTuple):
    """An image: its manifest's digest, its layers, and one of its names."""

    manifest: str
    digests: tuple[str, ...]
    diff_ids: tuple[str, ...]
    reference: str | None = None


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


class Stats(NamedTuple):
    """Counts of layers, and the bytes of blobs and trees on disk."""

    layers: int
    mounted: int  #: in at least one live view
    referenced: int  #: kept by an image, a lease, or as a dependency
    unused: int  #: neither mounted nor referenced
    mounts: int
    bytes_total: int
