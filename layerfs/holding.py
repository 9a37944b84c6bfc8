"""Keep layers in the store: under a user's lease, or while an operation reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from layerfs import digest as digests_
from layerfs.errors import LayerNotFoundError, ValidationError
from layerfs.opening import Parts
from layerfs.records import Layer

_MAX_NAME: Final = 255
_T = TypeVar("_T")


def lease(parts: Parts, name: str, digests: Sequence[str]) -> None:
    """Keep layers under a name; LayerNotFoundError, ValidationError (the name)."""
    parts.refuse_readonly()
    _check_name(name)
    wanted = [digests_.parse(digest) for digest in digests]
    with parts.lock():
        for digest in wanted:
            if not parts.meta.has_layer(digest):
                raise LayerNotFoundError(f"no layer {digest} to lease", digest=digest)
        with parts.meta.transaction():
            parts.meta.roots.put_lease(name, wanted)


@contextmanager
def held(parts: Parts, digests: Sequence[str]) -> Iterator[list[Layer]]:
    """Keep layers while an operation reads them; yields them, in the order given.

    LayerNotFoundError. A store that is opened readonly cannot keep them from being removed.
    """
    if parts.readonly:
        yield layers_of(parts, digests)
        return
    with parts.staging.operation() as operation:
        name = f"operation {operation.id}"
        with parts.lock():
            layers = layers_of(parts, digests)
            with parts.meta.transaction(durable=False):
                parts.meta.roots.put_lease(name, digests, operation=operation.id)
        try:
            yield layers
        finally:
            with parts.lock(), parts.meta.transaction(durable=False):
                parts.meta.roots.delete_lease(name)


def layers_of(parts: Parts, digests: Sequence[str]) -> list[Layer]:
    """Return the layers, in the order given; LayerNotFoundError, ValidationError for none."""
    return _found(parts, digests, parts.meta.layers_of_digests)


def diff_ids_of(parts: Parts, digests: Sequence[str]) -> list[str]:
    """Return the diffIDs of the layers, and no more, in less time; as ``layers_of``."""
    return _found(parts, digests, parts.meta.diff_ids)


def _found(
    parts: Parts, digests: Sequence[str], find: Callable[[Sequence[str]], Mapping[str, _T]]
) -> list[_T]:
    if isinstance(digests, str):
        raise ValidationError("layers are given as a list of digests")
    if not digests:
        raise ValidationError("no layers given; name at least one")
    known = find([digests_.parse(digest) for digest in digests])
    for digest in digests:
        if digest not in known:
            raise LayerNotFoundError(f"no layer {digest} in {str(parts.root)!r}", digest=digest)
    return [known[digest] for digest in digests]


def release(parts: Parts, name: str) -> None:
    """Give a lease up; an unknown name is fine."""
    parts.refuse_readonly()
    _check_name(name)
    with parts.lock(), parts.meta.transaction():
        parts.meta.roots.delete_user_lease(name)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise ValidationError(
            f"a lease's name must be 1 to {_MAX_NAME} printable characters, not {ascii(name)[:80]}"
        )
