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
