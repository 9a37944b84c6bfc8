"""Read layers back: the blob against its digest, the tree against the tar in the blob."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from layerfs import digest as digests_
from layerfs.errors import (
    DigestMismatchError,
    LayerFSError,
    LayerNotFoundError,
    LimitExceededError,
    StorageError,
)
from layerfs.opening import Parts
from layerfs.reading import CONTENT_ERRORS, Expected, read_layer
from layerfs.records import Layer
from layerfs.reports import Damage

if TYPE_CHECKING:
    from layerfs.tarstream import TarReader

#: How often a layer that seems damaged is looked at.
_LOOKS: Final = 3


def chosen(parts: Parts, digests: Sequence[str] | None) -> list[Layer]:
    """Return the layers of these digests, each once; None: all. LayerNotFoundError."""
    if digests is None:
        return parts.meta.layers()
    layers = []
    for digest in dict.fromkeys(digests_.parse(one) for one in digests):
        layer = parts.meta.layer(digest)
        if layer is None:
            raise LayerNotFoundError(f"no layer {digest} in {str(parts.root)!r}", digest=digest)
        layers.append(layer)
    return layers


def verify(parts: Parts, digests: Sequence[str] | None) -> list[Damage]:
    """Return what is damaged in the layers; a layer removed meanwhile is not."""
    return [damage for layer in chosen(parts, digests) for damage in _settled(parts, layer)]


def _settled(parts: Parts, layer: Layer) -> list[Damage]:
    """Look again at what seems damaged: it may have been removed, and added again, meanwhile."""
    damage: list[Damage] = []
    for looks_left in reversed(range(_LOOKS)):
        try:
            damage = examine(parts, layer)
            if not damage:
                break
        except LimitExceededError:
            raise
        except LayerFSError:
            if not looks_left and parts.meta.has_layer(layer.digest):
                raise
        if not parts.meta.has_layer(layer.digest):
            return []
    return damage


def examine(parts: Parts, layer: Layer) -> list[Damage]:
    """Return what is damaged in one layer. Without its blob, nothing is known of its tree.

    LimitExceededError: the limits in force are less than those that it was added with.
    """
    expected = Expected(layer.media_type, layer.digest, layer.size, layer.diff_id)
    problems: list[tuple[bytes, str]] = []

    def compare(reader: TarReader) -> None:
        try:
            problems.extend(parts.backend.damage(layer.diff_id, reader))
        except StorageError as error:
            problems.append((b".", error.message))

    try:
        with parts.blobs.open(layer.digest) as raw:
            try:
                read_layer(raw, expected, compare, parts.limits)
            except LimitExceededError:
                raise  # the store holds what it was told to, and now is told otherwise: no damage
            except (DigestMismatchError, *CONTENT_ERRORS) as error:
                return [Damage(layer.digest, None, error.message)]
    except StorageError as error:
        return [Damage(layer.digest, None, error.message)]
    return [Damage(layer.digest, os.fsdecode(path), problem) for path, problem in problems]


def blob_is_damaged(damage: Sequence[Damage]) -> bool:
    """Say whether the blob itself is among what is damaged."""
    return any(one.path is None for one in damage)
