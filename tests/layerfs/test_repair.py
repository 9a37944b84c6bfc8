import io
import json
import os

import pytest

from layerfs import syscalls
from layerfs.store import LayerFS

from .isolation import isolated
from .recipes import EMPTY, GZIP, ZSTD, contents, gz, sha256, stream, tar

FILES = {"d/a": b"1", "b": b"x" * 5000, "d/.wh.gone": b""}


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def store(root):
    with LayerFS.open(root) as opened:
        yield opened


def whole(store):
    return store.verify() == [] and store.check() == []


def lose_the_database(root, how="missing"):
    for name in os.listdir(root):
        if name.startswith("layerfs.db"):
            (root / name).unlink() if how == "missing" else (root / name).write_bytes(b"x" * 9000)
    return LayerFS.open(root, recover=True)


# --- layers


def test_there_is_nothing_to_repair_in_a_whole_store(store):
    store.add_layer(stream(FILES))
    report = store.repair()
    assert (report.repaired, report.mended, report.failed) == ((), (), ())


def test_only_the_damaged_layer_is_extracted_again(store, root):
    good, bad = (store.add_layer(stream({name: b"1", "c": b"2"})) for name in "ab")
    untouched = (root / "layers" / good.diff_id[7:]).stat().st_ino
    (root / "layers" / bad.diff_id[7:] / "diff/c").write_bytes(b"3")
    report = store.repair()
    assert (report.repaired, report.failed) == ((bad.digest,), ())
    assert (root / "layers" / good.diff_id[7:]).stat().st_ino == untouched
    assert whole(store)
    assert contents(root)["staging"] == []


def test_a_missing_tree_is_extracted_again(store, root):
    layer = store.add_layer(stream(FILES))
    os.rename(root / "layers" / layer.diff_id[7:], root / "gone")
    assert store.repair([layer.digest]).repaired == (layer.digest,)
    assert whole(store)


def test_all_layers_of_a_shared_tree_are_repaired_by_one_extraction(store, root):
    one, two = store.add_layer(stream(FILES)), store.add_layer(io.BytesIO(gz(FILES)), GZIP)
    (root / "layers" / one.diff_id[7:] / "diff/b").unlink()
    (root / "blobs/sha256" / one.digest[7:]).write_bytes(b"also damaged")
    report = store.repair()
    assert report.repaired == (two.digest,)
    assert [error.digest for error in report.failed] == [one.digest]
    (root / "layers" / one.diff_id[7:] / "diff/b").unlink()
    store.add_layer(stream(FILES))
    assert set(store.repair().repaired) == {one.digest, two.digest}
    assert whole(store)


def test_a_damaged_blob_cannot_be_repaired_and_the_remedy_works(store, root):
    layer = store.add_layer(stream(FILES))
    (root / "blobs/sha256" / layer.digest[7:]).write_bytes(b"bad")
    report = store.repair()
    assert report.repaired == ()
    (error,) = report.failed
    assert (error.digest, error.code) == (layer.digest, "storage-error")
    assert "add the layer again" in error.message
    store.add_layer(stream(FILES))
    assert whole(store)


def test_layers_that_are_not_asked_for_are_left_alone(store, root):
    one, two = (store.add_layer(stream({name: b"1"})) for name in "ab")
    for layer, name in ((one, "a"), (two, "b")):
        (root / "layers" / layer.diff_id[7:] / "diff" / name).write_bytes(b"2")
    assert store.repair([one.digest]).repaired == (one.digest,)
    assert {found.digest for found in store.verify()} == {two.digest}


@isolated
def test_a_tree_is_not_replaced_under_a_mount(root, tmp_path):
    with LayerFS.open(root) as store:
        layer = store.add_layer(stream(FILES))
        store.mount_layer(layer.digest, tmp_path / "t")
        (root / "layers" / layer.diff_id[7:] / "diff/b").write_bytes(b"bad")
        (error,) = store.repair().failed
        assert (error.digest, error.code) == (layer.digest, "layer-in-use")
        store.unmount(tmp_path / "t")
        assert store.repair().repaired == (layer.digest,)
        assert whole(store)


# --- the store


@isolated
def test_stale_views_and_run_directories_are_forgotten(root, tmp_path):
    with LayerFS.open(root) as store:
        layer = store.add_layer(stream(FILES))
        store.stack([layer.digest], tmp_path / "t", writable=True)
        syscalls.umount2(tmp_path / "t")
        (root / "run/0123/upper").mkdir(parents=True)
        report = store.repair()
        assert len(report.mended) == 2
        assert report.failed == ()
        assert whole(store)
        assert not (tmp_path / "t").exists()
        assert contents(root)["run"] == []


@isolated
def test_a_mounted_view_that_is_not_recorded_is_told_and_left_alone(root, tmp_path):
    with LayerFS.open(root) as store:
        layer = store.add_layer(stream(FILES))
        store.stack([layer.digest], tmp_path / "t", writable=True)
        with store._parts.meta.transaction():
            store._parts.meta.database.write("DELETE FROM mounts")
        (error,) = store.repair().failed
        assert error.code == "layer-in-use"
        assert (tmp_path / "t/b").exists()
        syscalls.umount2(tmp_path / "t")
        assert store.repair().failed == ()
        assert whole(store)


@pytest.mark.parametrize("name", ["index.json", "oci-layout", "blobs/sha512"])
def test_the_image_layout_is_written_again(store, root, name):
    layer = store.add_layer(stream(FILES))
    os.rename(root / name, root / "gone")
    assert store.check() != []
    assert store.repair().failed == ()
    assert whole(store)
    assert store.layers() == [layer]


def test_trees_without_a_blob_and_blobs_of_nothing_are_removed(store, root):
    (root / "layers" / ("1" * 64)).mkdir()
    (root / "blobs/sha256" / ("0" * 64)).write_bytes(b"not what the name says")
    stray = b'{"some": "document"}'
    (root / "blobs/sha256" / sha256(stray)[7:]).write_bytes(stray)
    report = store.repair()
    assert report.failed == ()
    assert len(report.mended) == 3
    assert contents(root) == EMPTY


# --- a lost database


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_layers_are_found_again_from_their_blobs(store, root, how):
    import zstandard  # noqa: PLC0415

    blobs = [
        (tar({"plain": b"1"}), None),
        (gz({"gzip": b"1"}), GZIP),
        (zstandard.compress(tar({"zstd": b"1"})), ZSTD),
    ]
    before = [
        store.add_layer(io.BytesIO(data), *([media_type] if media_type else []))
        for data, media_type in blobs
    ]
    store.close()
    store = lose_the_database(root, how)
    assert store.layers() == []
    assert {problem.kind for problem in store.check()} == {"orphan-blob", "orphan-tree"}
    report = store.repair()
    assert report.failed == ()
    assert set(report.repaired) == {layer.digest for layer in before}
    assert sorted(store.layers(), key=repr) == sorted(before, key=repr)
    assert whole(store)
    store.close()


def test_images_are_found_again_with_their_names(store, root, tmp_path):
    layers = [store.add_layer(io.BytesIO(gz({name: b""})), GZIP).digest for name in "ab"]
    for name in ("one", "two"):
        store.export_image(tmp_path / name, layers, reference=name)
        store.import_image(tmp_path / name)
    loose = store.add_layer(stream({"loose": b""}))
    images, layers = store.images(), store.layers()
    store.close()
    store = lose_the_database(root)
    assert store.repair().failed == ()
    assert store.images() == images
    assert sorted(store.layers(), key=repr) == sorted(layers, key=repr)
    assert store.collect_garbage().removed == (loose.digest,)
    assert whole(store)
    store.close()


def test_images_are_found_again_even_without_the_index(store, root, tmp_path):
    digest = store.add_layer(stream(FILES)).digest
    store.export_image(tmp_path / "out", [digest])
    image = store.import_image(tmp_path / "out")
    store.close()
    (root / "index.json").write_text("[")
    store = lose_the_database(root)
    assert store.repair().failed == ()
    (found,) = store.images()
    assert (found.manifest, found.reference) == (image.manifest, None)
    index = json.loads((root / "index.json").read_bytes())
    assert [one["digest"] for one in index["manifests"]] == [image.manifest]
    assert whole(store)
    store.close()


def test_an_image_that_lost_a_layer_does_not_come_back(store, root, tmp_path):
    one, two = (store.add_layer(stream({name: b""})).digest for name in "ab")
    store.export_image(tmp_path / "out", [one, two])
    store.import_image(tmp_path / "out")
    store.close()
    (root / "blobs/sha256" / two[7:]).unlink()
    store = lose_the_database(root)
    report = store.repair()
    assert report.failed != ()
    assert store.images() == []
    assert [layer.digest for layer in store.layers()] == [one]
    assert store.verify() == []
    store.close()


def test_an_altered_blob_is_not_adopted_under_its_name(store, root):
    digest = store.add_layer(stream(FILES)).digest
    store.close()
    (root / "blobs/sha256" / digest[7:]).write_bytes(tar({"other": b""}))
    store = lose_the_database(root)
    store.repair()
    assert store.layers() == []
    assert contents(root) == EMPTY
    store.close()
