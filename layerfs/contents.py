"""Read the content of a layer by its diffID: what the store lends to its backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from layerfs.errors import DigestMismatchError, LayerNotFoundError, StorageError

if TYPE_CHECKING:
    from layerfs.backends import Contents
    from layerfs.opening import Parts
    from layerfs.tarstream import TarReader


def contents(parts: Parts) -> Contents:
    """Return what reads a layer of this store; see ``layerfs.backends.Contents``.

    Of the layers that share a diffID, any will do: the one that was added first is read.
    """

    def read(diff_id: str, consume: Callable[[TarReader], object]) -> None:
        from layerfs.reading import Expected, read_layer  # noqa: PLC0415 - a mount needs no tar

        digest = next(iter(parts.meta.layers_of(diff_id)), None)
        layer = None if digest is None else parts.meta.layer(digest)
        if layer is None:
            raise LayerNotFoundError(f"no layer with the diffID {diff_id}", digest=diff_id)
        expected = Expected(layer.media_type, layer.digest, layer.size, layer.diff_id)
        with parts.blobs.open(layer.digest) as raw:
            try:
                read_layer(raw, expected, consume, parts.limits)
            except DigestMismatchError as error:
                raise StorageError(
                    f"the blob of layer {layer.digest} is damaged ({error.message}); add the layer "
                    "again, and it is replaced",
                    digest=layer.digest,
                ) from error

    return read
