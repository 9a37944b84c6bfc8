"""Order layers by their dependencies; find circles. Iterative: chains are 10,000 deep and more.

A depth-first search over digests (any hashable text). Each layer comes after all that it needs;
beyond that the given order stays: a list that is in order already comes back as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from layerfs import digest as digests_
from layerfs.catalog import Catalog
from layerfs.errors import CircularDependencyError, InvalidLayerOrderError, LayerNotFoundError

#: A longer circle is shown by its beginning and its end.
_SHOWN: Final = 8

Needs = Callable[[str], Iterable[str]]


def order(start: Iterable[str], needs: Needs, *, circles: bool = False) -> list[str]:
    """Return ``start`` and all that it needs, directly or not, dependencies first.

    ``needs`` is asked once for each, and may raise. CircularDependencyError shows the circle;
    with ``circles``, the order within one is any.
    """
    done: dict[str, None] = {}
    for first in start:
        if first in done:
            continue
        path: dict[str, Iterator[str]] = {first: iter(needs(first))}
        while path:
            current = next(reversed(path))
            for need in path[current]:
                if need in path:
                    if circles:
                        continue
                    raise _circle([*path], need)
                if need not in done:
                    path[need] = iter(needs(need))
                    break
            else:
                path.popitem()  # a `del` would leave a hole for `reversed` to step over
                done[current] = None
    return list(done)


def _circle(path: list[str], back_to: str) -> CircularDependencyError:
    circle = [*path[path.index(back_to) :], back_to]
    if len(circle) > _SHOWN:
        half = _SHOWN // 2
        middle = f"… {len(circle) - _SHOWN} more …"
        circle = [*circle[:half], middle, *circle[-half:]]
    return CircularDependencyError(
        f"layers depend on each other in a circle: {' -> '.join(circle)}", digest=back_to
    )


def order_layers(meta: Catalog, digests: Sequence[str] | None) -> list[str]:
    """Return the given layers (None: all), dependencies first, otherwise as given; each once.

    A dependency that is in the store and not in the list orders those that are, but is not added.
    LayerNotFoundError: a given layer is not in the store. InvalidLayerOrderError: a dependency is
    not. CircularDependencyError.
    """
    if digests is None:
        wanted = meta.digests()
        known = set(wanted)
        edges = edges_of(meta)
        return order(wanted, lambda one: _present(one, edges.get(one, ()), known.__contains__))
    wanted = [digests_.parse(one) for one in digests]
    for one in wanted:
        if not meta.has_layer(one):
            raise LayerNotFoundError(f"no layer {one}", digest=one)
    ordered = order(wanted, lambda one: _present(one, meta.needs(one), meta.has_layer))
    given = set(wanted)
    return [one for one in ordered if one in given]


def _present(digest: str, needs: Sequence[str], is_known: Callable[[str], bool]) -> Sequence[str]:
    for need in needs:
        if not is_known(need):
            raise InvalidLayerOrderError(
                f"layer {digest} depends on {need}, which is not in the store; add it first",
                digest=need,
            )
    return needs


def refuse_cycles(meta: Catalog) -> None:
    """Raise CircularDependencyError if there is a circle; missing dependencies are no circle."""
    edges = edges_of(meta)
    order(edges, lambda one: edges.get(one, ()))


def dependents_first(digests: Iterable[str], edges: dict[str, list[str]]) -> list[str]:
    """Return the digests so that nothing comes after what it needs; circles in any order."""
    wanted = list(digests)
    inside = set(wanted)
    return order(
        wanted, lambda one: [need for need in edges.get(one, ()) if need in inside], circles=True
    )[::-1]


def edges_of(meta: Catalog) -> dict[str, list[str]]:
    """Return what each layer that declares dependencies needs."""
    edges: dict[str, list[str]] = {}
    for digest, need in meta.edges():
        edges.setdefault(digest, []).append(need)
    return edges
