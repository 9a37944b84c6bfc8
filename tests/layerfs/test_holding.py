import os

import pytest

from layerfs.errors import LayerInUseError, LayerNotFoundError, ValidationError
from layerfs.holding import held, layers_of
from layerfs.store import LayerFS

from .recipes import stream

UNKNOWN = "sha256:" + "0" * 64


@pytest.fixture
def store(tmp_path):
    with LayerFS.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def digests(store):
    return [store.add_layer(stream({name: b""})).digest for name in "ab"]


def test_layers_are_looked_up_in_the_order_given(store, digests):
    given = [digests[1], digests[0], digests[1]]
    assert [layer.digest for layer in layers_of(store._parts, given)] == given
    for bad in ([], "sha256:", UNKNOWN, ["x"]):
        with pytest.raises(ValidationError):
            layers_of(store._parts, bad)
    with pytest.raises(LayerNotFoundError):
        layers_of(store._parts, [*digests, UNKNOWN])


def test_what_an_operation_reads_cannot_be_removed_meanwhile(store, digests):
    with held(store._parts, digests) as layers:
        assert [layer.digest for layer in layers] == digests
        with pytest.raises(LayerInUseError, match="wait for it") as refusal:
            store.remove_layer(digests[0])
        assert refusal.value.holder.startswith("lease 'operation ")
        assert store.collect_garbage(force=True).removed == ()
        (lease,) = store._parts.meta.roots.leases_of(digests[0])
        store.release(lease)
        assert store.collect_garbage(force=True).removed == ()
    assert len(store.collect_garbage().removed) == 2
    assert store._parts.meta.roots.operation_leases() == []
    assert os.listdir(store.root / "staging") == []


def test_layers_are_let_go_also_after_an_error(store, digests):
    def fail():
        with held(store._parts, digests):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with pytest.raises(LayerNotFoundError), held(store._parts, [*digests, UNKNOWN]):
        pass
    assert store._parts.meta.roots.leased() == set()


def test_a_store_that_is_only_read_holds_nothing(store, digests):
    with LayerFS.open(store.root, readonly=True) as reader, held(reader._parts, digests):
        assert store.remove_layer(digests[0])
