import io
import random
import time

import pytest

from layerfs import ordering
from layerfs.errors import CircularDependencyError, InvalidLayerOrderError, LayerNotFoundError
from layerfs.records import Layer
from layerfs.store import LayerFS

from .recipes import sha256, tar


def needs(edges):
    return lambda one: edges.get(one, ())


def test_a_list_that_is_in_order_stays_as_it_is():
    edges = {"c": ["a"], "d": ["c", "b"]}
    assert ordering.order("abcd", needs(edges)) == list("abcd")


def test_dependencies_come_first_and_the_rest_stays():
    assert ordering.order("xbay", needs({"b": ["a"]})) == list("xaby")


def test_what_is_needed_but_not_given_is_part_of_the_order():
    assert ordering.order("b", needs({"b": ["a"]})) == ["a", "b"]


def test_a_circle_is_shown():
    edges = {"a": ["b"], "b": ["c"], "c": ["a"]}
    with pytest.raises(CircularDependencyError, match="a -> b -> c -> a"):
        ordering.order("a", needs(edges))


def test_a_layer_that_needs_itself_is_a_circle():
    with pytest.raises(CircularDependencyError, match="a -> a"):
        ordering.order("a", needs({"a": ["a"]}))


def test_a_long_circle_is_shown_in_part():
    edges = {str(n): [str((n + 1) % 100)] for n in range(100)}
    with pytest.raises(CircularDependencyError, match=r"0 -> 1 -> 2 -> 3 -> … 93 more … -> 97"):
        ordering.order(["0"], needs(edges))


@pytest.mark.parametrize("backwards", [False, True])
def test_a_chain_of_100000_is_ordered_without_recursion(backwards):
    edges = {n: [n - 1] for n in range(1, 100_000)}
    start = range(99_999, -1, -1) if backwards else range(100_000)
    began = time.process_time()
    assert ordering.order(start, needs(edges)) == list(range(100_000))
    assert time.process_time() - began < 5, "not linear"


def test_random_graphs_are_ordered():
    chance = random.Random(1)
    for _ in range(50):
        names = list(range(30))
        edges = {n: chance.sample(names[:n], min(n, chance.randrange(4))) for n in names}
        chance.shuffle(names)
        found = ordering.order(names, needs(edges))
        place = {name: at for at, name in enumerate(found)}
        assert sorted(found) == sorted(names)
        assert all(place[need] < place[one] for one in edges for need in edges[one])


def test_dependents_come_first_for_a_removal_and_circles_are_no_obstacle():
    edges = {"b": ["a"], "c": ["b", "elsewhere"], "x": ["y"], "y": ["x"]}
    found = ordering.dependents_first("abcxy", edges)
    assert sorted(found) == list("abcxy")
    assert found.index("c") < found.index("b") < found.index("a")


# --- in a store


@pytest.fixture
def store(tmp_path):
    with LayerFS.open(tmp_path / "store") as opened:
        yield opened


def add(store, name, *dependencies):
    return store.add_layer(io.BytesIO(tar({name: b""})), dependencies=dependencies).digest


def test_all_layers_are_ordered_in_the_order_of_their_adding(store):
    b = add(store, "b", sha256(tar({"a": b""})))
    a, c = add(store, "a"), add(store, "c")
    assert store.order() == [a, b, c]
    assert store.order([c, b, a]) == [c, a, b]
    assert store.order([b, b]) == [b]
    assert store.order([]) == []


def test_a_dependency_that_is_not_given_still_orders_those_that_are(store):
    a = add(store, "a")
    middle = add(store, "m", a)
    top = add(store, "t", middle)
    assert store.order([top, a]) == [a, top]


def test_a_missing_dependency_is_named(store):
    missing = "sha256:" + "0" * 64
    layer = add(store, "a", missing)
    for given in (None, [layer]):
        with pytest.raises(InvalidLayerOrderError, match=missing) as refusal:
            store.order(given)
        assert refusal.value.digest == missing
    store.check_cycles()


def test_an_unknown_layer_cannot_be_ordered(store):
    with pytest.raises(LayerNotFoundError):
        store.order(["sha256:" + "0" * 64])


def test_a_circle_in_the_store_is_told(store):
    a_digest, b_digest = sha256(tar({"a": b""})), sha256(tar({"b": b""}))
    add(store, "a", b_digest)
    add(store, "b", a_digest)
    for call in (store.check_cycles, store.order, lambda: store.order([a_digest])):
        with pytest.raises(CircularDependencyError):
            call()


def test_10000_layers_in_a_chain_are_ordered_and_searched_for_circles(store):
    digests = [f"sha256:{n:064x}" for n in range(10_000)]
    meta = store._parts.meta
    with meta.transaction():
        for n, digest in enumerate(digests):
            layer = Layer(digest, digest, 1, "t", tuple(digests[n + 1 : n + 2]))
            meta.put_layer(layer, blob_bytes=1)
    assert store.order() == digests[::-1]
    assert store.order(digests[:1]) == digests[:1]
    store.check_cycles()
