"""What a crash leaves behind, and what the next open makes of it."""

import json
import os
import shutil

import pytest

from layerfs import mounts
from layerfs.store import LayerFS

from .crashing import killed_everywhere, needs_strace
from .isolation import both_ways, isolated
from .recipes import EMPTY, GZIP, contents, gz, sha256, stream

FILES = {f"d{n % 3}/f{n}": os.urandom(100) for n in range(6)} | {"d0/.wh.gone": b"", "link": "d0"}


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "store"
    LayerFS.open(path).close()
    return path


def whole_store(root):
    """Open the store, as anybody would after a crash; there is nothing amiss, or left over."""
    store = LayerFS.open(root)
    assert os.listdir(root / "staging") == []
    assert store.check() == []
    assert store.verify() == []
    return store


# --- killed at every call


@needs_strace
def test_an_add_killed_anywhere_leaves_the_layer_whole_or_absent(tmp_path, root):
    blob = tmp_path / "blob"
    blob.write_bytes(gz(FILES))
    digest = sha256(blob.read_bytes())
    seen = set()

    def after(where, *, died):
        with whole_store(root) as store:
            there = [layer.digest for layer in store.layers()]
            assert there in ([], [digest]), where
            seen.add(len(there))
            if not there:
                assert died, where
                assert contents(root) == EMPTY, where
            assert store.add_layer(blob, GZIP).digest == digest
            assert store.remove_layer(digest), where
            assert contents(root) == EMPTY, where

    def add(_):
        LayerFS.open(root).add_layer(blob, GZIP)

    assert killed_everywhere(add, before=lambda: None, after=after) > 40
    assert seen == {0, 1}


@needs_strace
def test_a_creation_killed_anywhere_is_finished_by_the_next_open(tmp_path):
    def before():
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        return tmp_path / "new"

    def after(where, *, died):  # noqa: ARG001
        with whole_store(tmp_path / "new") as store:
            assert store.layers() == [], where
        assert sorted(os.listdir(tmp_path / "new")) == [
            "blobs", "index.json", "layerfs.db", "layers", "lock", "oci-layout", "reserve", "run",
            "staging",
        ]  # fmt: skip

    calls = ["mkdir", "rename", "fsync", "fdatasync", "ftruncate"]
    assert killed_everywhere(LayerFS.open, before=before, after=after, calls=calls) > 15


@needs_strace
def test_a_removal_killed_anywhere_is_undone_or_finished(root):
    def before():
        with LayerFS.open(root) as store:
            return store.add_layer(stream(FILES)).digest

    def after(where, *, died):
        with whole_store(root) as store:
            if store.layers() == []:
                assert contents(root) == EMPTY, where
            else:
                assert died, where

    def remove(digest):
        LayerFS.open(root).remove_layer(digest)

    assert killed_everywhere(remove, before=before, after=after) > 20


@needs_strace
@isolated
def test_a_stack_killed_anywhere_leaves_nothing_mounted(tmp_path, root):
    with LayerFS.open(root) as store:
        layer = store.add_layer(stream(FILES))
    target = tmp_path / "target"

    def after(where, *, died):
        with whole_store(root) as store:
            if died and not target.exists():
                assert store.mounts() == [], where
                assert store.stack([layer.digest], target, writable=True)
            assert (target / "d1/f1").exists(), where
            store.unmount(target)
        assert not target.exists(), where
        assert os.listdir(root / "run") == [], where

    def stack(_):
        LayerFS.open(root).stack([layer.digest], target, writable=True)

    assert killed_everywhere(stack, before=lambda: None, after=after) > 15


@needs_strace
@isolated
def test_an_unmount_killed_anywhere_is_undone_or_finished(tmp_path, root):
    target = tmp_path / "target"
    with LayerFS.open(root) as store:
        layer = store.add_layer(stream(FILES))

    def before():
        store = LayerFS.open(root)
        store.stack([layer.digest], target, writable=True)
        store.close(unmount=False)

    def after(where, *, died):
        with whole_store(root) as store:
            if store.mounts():
                assert died, where
                store.unmount(target)
        assert not target.exists(), where
        assert os.listdir(root / "run") == [], where

    def unmount(_):
        LayerFS.open(root).unmount(target)

    assert killed_everywhere(unmount, before=before, after=after) > 10


@needs_strace
def test_an_import_killed_anywhere_leaves_the_image_whole_or_absent(tmp_path, root):
    layout = tmp_path / "layout"
    with LayerFS.open(tmp_path / "other") as other:
        layers = [other.add_layer(stream({f"f{n}": b"x"})).digest for n in range(2)]
        manifest = other.export_image(layout, layers)

    def after(where, *, died):
        with whole_store(root) as store:
            images = [image.manifest for image in store.images()]
            assert images == [manifest] or (died and images == []), where
            index = json.loads((root / "index.json").read_bytes())
            assert [one["digest"] for one in index["manifests"]] == images, where
            store.import_image(layout)
            assert store.collect_garbage().removed == (), where
            store.remove_image("latest")
            store.collect_garbage()
        assert contents(root) == EMPTY, where

    def run(_):
        LayerFS.open(root).import_image(layout)

    calls = ["mkdir", "rename", "unlink", "fdatasync", "fsync", "syncfs", "rmdir"]
    assert killed_everywhere(run, before=lambda: None, after=after, calls=calls) > 30


@needs_strace
def test_a_repair_killed_anywhere_leaves_the_tree_damaged_or_whole(root):
    with LayerFS.open(root) as store:
        layer = store.add_layer(stream(FILES))
    damaged = root / "layers" / layer.diff_id[7:] / "diff/d1/f1"

    def before():
        damaged.write_bytes(b"bad")

    def after(where, *, died):
        with LayerFS.open(root) as store:
            assert os.listdir(root / "staging") == []
            assert store.check() == [], where
            paths = {found.path for found in store.verify()}
            assert paths <= ({"d1/f1"} if died else set()), where
            store.repair()
            assert store.verify() == [], where

    def repair(_):
        LayerFS.open(root).repair()

    calls = ["rename", "fdatasync", "fsync", "syncfs", "unlink"]
    assert killed_everywhere(repair, before=before, after=after, calls=calls) > 8


# --- what else a store finds when it is opened


def test_a_living_operation_is_left_alone(root):
    with (
        LayerFS.open(root) as store,
        store._parts.staging.operation() as operation,
        LayerFS.open(root),
    ):
        assert operation.path.is_dir()
    assert os.listdir(root / "staging") == []


def test_what_cannot_be_undone_does_not_keep_the_store_from_opening(root):
    dead = root / "staging" / "0123456789abcdef"
    dead.mkdir()
    (dead / "intent.json").write_text("{ damaged")
    with LayerFS.open(root) as store:
        assert [problem.kind for problem in store.check()] == ["dead-operation"]


@both_ways
def test_views_of_an_earlier_boot_are_forgotten(tmp_path, rootless):  # noqa: ARG001
    root, target = tmp_path / "store", tmp_path / "target"
    with LayerFS.open(root) as store:
        layer = store.add_layer(stream({"a": b"1"}))
        store.stack([layer.digest], target, writable=True)
        mounts.unmount(target)  # as a reboot does
        with store._parts.meta.transaction():
            store._parts.meta.database.write("UPDATE mounts SET boot = 'earlier'")
        with LayerFS.open(root) as later:
            assert later.mounts() == []
            assert later.remove_layer(layer.digest)
        assert not target.exists()
        assert os.listdir(root / "run") == []


@isolated
def test_a_view_whose_record_a_power_cut_took_leaves_no_directory(tmp_path):
    root, kept, gone = tmp_path / "store", tmp_path / "kept", tmp_path / "gone"
    with LayerFS.open(root) as store:
        layer = store.add_layer(stream({"a": b"1"}))
        for target in (kept, gone):
            store.stack([layer.digest], target, writable=True)
        mounts.unmount(gone)
        with store._parts.meta.transaction():
            store._parts.meta.database.write("DELETE FROM mounts")
        LayerFS.open(root).close()
        assert len(os.listdir(root / "run")) == 2, "only a reboot ends views by itself"
        with store._parts.meta.transaction():
            store._parts.meta.set_setting("boot", "earlier")
        LayerFS.open(root).close()
        assert len(os.listdir(root / "run")) == 1, "what is mounted is never touched"
        mounts.unmount(kept)
        with store._parts.meta.transaction():
            store._parts.meta.set_setting("boot", "earlier")
        LayerFS.open(root).close()
        assert os.listdir(root / "run") == []


def test_leases_of_dead_operations_are_dropped(root):
    with LayerFS.open(root) as store:
        layer = store.add_layer(stream({"a": b"1"}))
        with store._parts.meta.transaction():
            store._parts.meta.roots.put_lease("gone", [layer.digest], operation="no such")
        assert store.collect_garbage(force=True).removed == ()
    with LayerFS.open(root) as store:
        assert store.collect_garbage().removed == (layer.digest,)
