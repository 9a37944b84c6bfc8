import pytest

from layerfs.catalog import Catalog
from layerfs.chains import Chain


@pytest.fixture
def chains(tmp_path):
    catalog = Catalog.open(tmp_path / "db")
    yield catalog.chains
    catalog.close()


def chain(name, layer, parent=""):
    return Chain(name, layer, parent, f"guid of {name}")


#: A tree: a, ab, abc, abd, and b by itself, ba.
TREE = [
    chain("a", "A"), chain("ab", "B", "a"), chain("abc", "C", "ab"), chain("abd", "D", "ab"),
    chain("b", "B"), chain("ba", "A", "b"),
]  # fmt: skip


@pytest.fixture
def tree(chains):
    with chains.transaction():
        for one in TREE:
            chains.put(one)
    return chains


def names(found):
    return [one.chain_id for one in found]


def test_what_was_recorded_is_known(tree):
    assert tree.known(["ab", "nothing", "b"]) == {"ab": TREE[1], "b": TREE[4]}
    assert tree.known([]) == {}
    assert sorted(tree.all()) == sorted(TREE)
    assert names(tree.topped_by("B")) == ["ab", "b"]


def test_more_names_may_be_asked_for_than_sqlite_takes_at_once(tree):
    assert set(tree.known([*map(str, range(2000)), "a"])) == {"a"}


@pytest.mark.parametrize("layer", ["A", "B", "C", "D"])
def test_chains_with_a_layer_come_after_those_on_top_of_them(tree, layer):
    found = tree.with_layer(layer)
    places = {one.chain_id: at for at, one in enumerate(found)}
    assert len(places) == len(found)
    for one in found:
        if one.parent in places:
            assert places[one.chain_id] < places[one.parent]


def test_a_layer_is_in_all_chains_above_those_that_it_tops(tree):
    assert set(names(tree.with_layer("A"))) == {"a", "ab", "abc", "abd", "ba"}
    assert set(names(tree.with_layer("B"))) == {"ab", "abc", "abd", "b", "ba"}
    assert names(tree.with_layer("C")) == ["abc"]
    assert tree.with_layer("E") == []


def test_a_given_chain_that_stands_on_another_given_one_is_found_once(tree):
    assert names(tree.on(["abc", "a"]))[-1] == "a"
    assert sorted(names(tree.on(["abc", "ab", "a"]))) == ["a", "ab", "abc", "abd"]


def test_what_is_forgotten_is_known_no_more(tree):
    with tree.transaction():
        tree.forget(["ab", "nothing"])
        tree.put(TREE[0]._replace(guid="another"))
    assert tree.known(["ab"]) == {}
    assert tree.known(["a"])["a"].guid == "another"
