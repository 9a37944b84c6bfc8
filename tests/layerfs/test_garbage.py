import io
import time

import pytest

from layerfs import garbage, syscalls
from layerfs.records import Layer
from layerfs.store import LayerFS

from .isolation import isolated, needs_root
from .recipes import EMPTY, GZIP, contents, gz, sha256, stream, tar


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def store(root):
    with LayerFS.open(root) as opened:
        yield opened


def add(store, name, *dependencies, size=0):
    return store.add_layer(stream({name: b"x" * size}), dependencies=dependencies).digest


def left(store):
    return {layer.digest for layer in store.layers()}


def test_what_nothing_keeps_is_removed_and_its_bytes_are_told(store, root):
    for name in "abc":
        add(store, name, size=50_000)
    before = store.stats().bytes_total
    report = store.collect_garbage()
    assert len(report.removed) == 3
    assert report.errors == ()
    assert report.bytes_freed == before >= 6 * 50_000
    assert contents(root) == EMPTY
    assert store.collect_garbage().removed == ()


def test_a_dry_run_tells_the_same_and_changes_nothing(store, root):
    add(store, "b", add(store, "a"))
    before = contents(root)
    dry = store.collect_garbage(dry_run=True)
    assert contents(root) == before
    assert len(left(store)) == 2
    assert store.collect_garbage() == dry


@isolated
def test_images_leases_views_and_what_they_need_are_kept(root, tmp_path):
    with LayerFS.open(root) as store:
        needed = add(store, "needed")
        leased = add(store, "leased", needed)
        mounted = add(store, "mounted")
        of_image = add(store, "of image")
        loose = add(store, "loose")
        store.lease("mine", [leased])
        store.stack([mounted], tmp_path / "t")
        store.export_image(tmp_path / "out", [of_image])
        store.import_image(tmp_path / "out")
        assert store.collect_garbage().removed == (loose,)
        assert set(store.collect_garbage(force=True).removed) == {leased, needed}
        assert left(store) == {mounted, of_image}
        store.unmount(tmp_path / "t")
        assert store.collect_garbage().removed == (mounted,)
        assert store.check() == store.verify() == []


def test_dependents_go_before_what_they_need(store):
    digests = [add(store, "0")]
    for n in range(1, 5):
        digests.append(add(store, f"{n}", digests[-1]))
    assert list(store.collect_garbage().removed) == digests[::-1]


def test_circles_and_missing_dependencies_are_no_obstacle(store):
    a, b = sha256(tar({"a": b""})), sha256(tar({"b": b""}))
    add(store, "a", b)
    add(store, "b", a, "sha256:" + "0" * 64)
    store.lease("mine", [a])
    assert store.collect_garbage().removed == ()
    store.release("mine")
    assert set(store.collect_garbage().removed) == {a, b}


def test_a_tree_that_a_kept_layer_shares_is_not_counted_as_freed(store):
    kept = store.add_layer(stream({"a": b"x" * 100_000})).digest
    loose = store.add_layer(io.BytesIO(gz({"a": b"x" * 100_000})), GZIP).digest
    store.lease("mine", [kept])
    report = store.collect_garbage()
    assert report.removed == (loose,)
    assert report.bytes_freed <= 8192
    assert store.verify() == []


def test_more_than_a_batch_is_collected(store, root, monkeypatch):
    monkeypatch.setattr(garbage, "_BATCH", 3)
    chain = [add(store, "0")]
    for n in range(1, 10):
        chain.append(add(store, f"{n}", chain[-1]))
    assert list(store.collect_garbage().removed) == chain[::-1]
    assert contents(root) == EMPTY


@needs_root
@isolated
def test_a_tree_that_cannot_be_deleted_is_reported_and_the_rest_is_collected(root):
    store = LayerFS.open(root)
    bad = store.add_layer(stream({"d": None})).digest
    good = {add(store, f"{n}") for n in range(3)}
    syscalls.mount("none", root / "layers" / bad[7:] / "diff/d", "tmpfs")
    report = store.collect_garbage()
    assert set(report.removed) == {bad, *good}
    assert [error.code for error in report.errors] == ["storage-error"]
    store.close()
    (inside,) = (root / "staging").rglob("d")
    syscalls.umount2(inside)
    LayerFS.open(root).close()
    assert contents(root) == EMPTY


@needs_root
@isolated
def test_one_bad_item_is_reported_and_the_rest_is_collected(root):
    store = LayerFS.open(root)
    bad = store.add_layer(stream({"d": None})).digest
    good = {add(store, f"{n}") for n in range(3)}
    inside = root / "layers" / bad[7:]
    syscalls.mount(inside, inside, None, syscalls.MS_BIND)
    report = store.collect_garbage()
    assert set(report.removed) == good
    assert [error.digest for error in report.errors] == [bad]
    assert left(store) == set()
    store.close()
    syscalls.umount2(inside)
    with LayerFS.open(root) as store:
        assert store.check() == []
    assert contents(root) == EMPTY


def test_10000_layers_are_marked_in_little_time(store):
    meta = store._parts.meta
    with meta.transaction():
        for n in range(10_000):
            digest = f"sha256:{n:064x}"
            needs = (f"sha256:{n - 1:064x}",) if n else ()
            meta.put_layer(Layer(digest, digest, 1, "t", needs), blob_bytes=1)
        meta.roots.put_lease("top", [f"sha256:{9_000:064x}"])
    began = time.process_time()
    assert len(store.collect_garbage(dry_run=True).removed) == 999
    assert time.process_time() - began < 1
