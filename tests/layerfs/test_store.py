"""The facade: that it holds together. What each operation does is tested with its own module."""

import gc
import inspect
import multiprocessing
import os
import random
import threading
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest

from layerfs.errors import LayerFSError, LayerInUseError, LayerNotFoundError, StorageError
from layerfs.records import Layer
from layerfs.store import LayerFS

from .isolation import isolated
from .recipes import EMPTY, contents, stream


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


def test_every_operation_says_what_it_does():
    public = [value for name, value in vars(LayerFS).items() if not name.startswith("_")]
    assert all(inspect.getdoc(value) for value in public)


def test_leaving_the_block_closes_and_closing_again_is_fine(root):
    with LayerFS.open(root) as store:
        pass
    store.close()
    with pytest.raises(StorageError, match="closed"):
        store.layers()


def test_a_layers_life(root):
    with LayerFS.open(root) as store:
        layer = store.add_layer(stream({"a": b"1"}))
        assert store.get_layer(layer.digest) == layer
        assert store.remove_layer(layer.digest)
        with pytest.raises(LayerNotFoundError):
            store.get_layer(layer.digest)
    assert contents(root) == EMPTY


def test_what_one_object_adds_the_others_see(root):
    with LayerFS.open(root) as one, LayerFS.open(root) as two:
        layer = one.add_layer(stream({"a": b"1"}))
        assert two.layers() == [layer]
        two.remove_layer(layer.digest)
        assert one.layers() == []


@isolated
def test_many_cycles_leave_nothing_and_take_no_more_memory(root, tmp_path):
    """A ledger in small: descriptors, mounts, files, memory."""
    with LayerFS.open(root) as store:

        def cycles(count):
            for number in range(count):
                layer = store.add_layer(stream({f"{number}": b"x"}))
                store.stack([layer.digest], tmp_path / "t", writable=bool(number % 2))
                store.unmount(tmp_path / "t")
                store.remove_layer(layer.digest)
            gc.collect()
            mounted = Path("/proc/self/mounts").read_text()
            return len(os.listdir("/proc/self/fd")), mounted, tracemalloc.get_traced_memory()[0]

        # What measures coverage keeps something of every thread, for good.
        tracing = threading.gettrace()
        threading.settrace(None)
        tracemalloc.start()
        rounds = [cycles(20) for _ in range(4)]
        tracemalloc.stop()
        threading.settrace(tracing)
        assert {one[:2] for one in rounds} == {rounds[0][:2]}
        # In each round, since a cache may grow its table in one of them.
        assert min(after[2] - before[2] for before, after in pairwise(rounds)) < 40_000
        assert store.check() == []
    assert contents(root) == EMPTY


def test_the_cost_of_an_operation_does_not_grow_with_the_number_of_layers(root):
    def cost(store):
        times = []
        for turn in range(5):
            began = time.process_time()
            layer = store.add_layer(stream({f"{turn}": b""}))
            store.get_layer(layer.digest)
            store.stats()
            store.order([layer.digest])
            store.verify([layer.digest])
            store.remove_layer(layer.digest)
            times.append(time.process_time() - began)
        return min(times)

    with LayerFS.open(root) as store:
        few = cost(store)
        with store._parts.meta.transaction():
            for n in range(10_000):
                digest = f"sha256:{n:064x}"
                needs = (f"sha256:{n - 1:064x}",) if n % 10 else ()
                store._parts.meta.put_layer(Layer(digest, digest, 1, "t", needs), blob_bytes=1)
        assert cost(store) < 3 * few + 0.05


def mixed(number, root, target):
    chance = random.Random(number)
    refused = 0
    with LayerFS.open(root) as store:
        for _ in range(40):
            name = f"f{chance.randrange(4)}"
            digests = [layer.digest for layer in store.layers()]
            some = chance.sample(digests, min(len(digests), 2))
            own = f"{target}{number}"
            step = chance.choice(["add", "add", "stack", "merge", "remove", "gc", "lease", "check"])
            try:
                if step == "add":
                    store.add_layer(stream({name: b"x"}), dependencies=some[:1])
                elif step == "stack":
                    store.stack(some or ["sha256:" + "0" * 64], own, writable=True)
                    store.commit(own)
                    store.unmount(own)
                elif step == "merge":
                    store.merge(some or ["sha256:" + "0" * 64])
                elif step == "remove" and some:
                    store.remove_layer(some[0])
                elif step == "gc":
                    assert store.collect_garbage(force=bool(number % 2)).errors == ()
                elif step == "lease":
                    store.lease("shared", some)
                    store.release("shared")
                else:
                    store.stats()
                    store.verify(some)
            except (LayerNotFoundError, LayerInUseError):
                refused += 1
            except LayerFSError as error:
                raise AssertionError(f"{step}: {error.code}: {error}") from error
    os._exit(0)


@isolated
def test_processes_with_mixed_operations_meet_only_documented_refusals(root, tmp_path):
    context = multiprocessing.get_context("fork")
    crowd = [context.Process(target=mixed, args=(n, root, tmp_path / "t")) for n in range(6)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert [one.exitcode for one in crowd] == [0] * 6
    with LayerFS.open(root) as store:
        assert store.check() == store.verify() == store.mounts() == []
        store.collect_garbage(force=True)
    assert contents(root) == EMPTY
