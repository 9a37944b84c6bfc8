import json
import os

import pytest

from layerfs import syscalls
from layerfs.store import LayerFS

from .isolation import isolated
from .recipes import stream


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def store(root):
    with LayerFS.open(root) as opened:
        yield opened


def kinds(store):
    return [problem.kind for problem in store.check()]


def test_a_store_in_use_has_no_problems(store, tmp_path):
    layer = store.add_layer(stream({"a": b""}))
    store.export_image(tmp_path / "out", [layer.digest])
    store.import_image(tmp_path / "out")
    with store._parts.staging.operation() as operation:
        operation.blob.write_text("half")
        (store._parts.run / operation.id).mkdir()  # a view that is just being made
        assert store.check() == []


def test_a_missing_and_a_shortened_blob_are_found(store, root):
    digests = [store.add_layer(stream({name: b""})).digest for name in "ab"]
    (root / "blobs/sha256" / digests[0][7:]).unlink()
    (root / "blobs/sha256" / digests[1][7:]).write_text("x")
    problems = store.check()
    assert [(one.kind, one.digest) for one in problems] == [
        ("missing-blob", digests[0]),
        ("missing-blob", digests[1]),
    ]
    assert "1 bytes instead of" in problems[1].message


def test_a_missing_tree_is_found(store, root):
    digest = store.add_layer(stream({"a": b""})).digest
    os.rename(root / "layers" / digest[7:], root / "gone")
    assert [(one.kind, one.digest) for one in store.check()] == [("missing-tree", digest)]


def test_blobs_and_trees_of_nobody_are_found(store, root):
    (root / "blobs/sha512" / ("0" * 128)).write_text("x")
    (root / "layers" / ("1" * 64)).mkdir()
    assert [(one.kind, one.digest) for one in store.check()] == [
        ("orphan-blob", "sha512:" + "0" * 128),
        ("orphan-tree", "sha256:" + "1" * 64),
    ]


def test_documents_of_an_image_are_found_missing(store, root, tmp_path):
    digest = store.add_layer(stream({"a": b""})).digest
    store.export_image(tmp_path / "out", [digest])
    image = store.import_image(tmp_path / "out")
    config = store._parts.meta.roots.image(image.manifest).config
    for one in (image.manifest, config):
        (root / "blobs/sha256" / one[7:]).unlink()
    assert {one.digest for one in store.check()} == {image.manifest, config}


@isolated
def test_a_view_that_is_not_mounted_is_found(root, tmp_path):
    with LayerFS.open(root) as store:
        digest = store.add_layer(stream({"a": b""})).digest
        store.stack([digest], tmp_path / "t")
        assert store.check() == []
        syscalls.umount2(tmp_path / "t")
        (found,) = store.check()
        assert (found.kind, found.path) == ("stale-mount", str(tmp_path / "t"))
        store.unmount(tmp_path / "t")
        assert store.check() == []


def test_a_run_directory_without_a_view_is_found(store, root):
    (root / "run/0123").mkdir()
    assert kinds(store) == ["orphan-run"]


def test_what_a_dead_operation_left_is_found(store, root):
    (root / "staging/0123").mkdir()
    assert kinds(store) == ["dead-operation"]


@pytest.mark.parametrize("name", ["index.json", "oci-layout"])
@pytest.mark.parametrize("data", [None, b"", b"{}"])
def test_a_damaged_image_layout_is_found(store, root, name, data):
    (root / name).unlink() if data is None else (root / name).write_bytes(data)
    assert kinds(store) == ["index"]


def test_a_foreign_entry_in_the_index_is_found(store, root):
    index = json.loads((root / "index.json").read_bytes())
    index["manifests"] = [{"digest": "sha256:" + "0" * 64}]
    (root / "index.json").write_text(json.dumps(index))
    assert kinds(store) == ["index"]


def test_a_missing_blob_directory_is_found(store, root):
    (root / "blobs/sha512").rmdir()
    assert kinds(store) == ["index"]


def test_damage_of_the_database_is_found(store, root):
    with store._parts.meta.transaction():
        for n in range(300):
            store._parts.meta.set_setting(f"{n}", "x" * 200)
    store.close()
    data = bytearray((root / "layerfs.db").read_bytes())
    middle = len(data) // 8192 * 4096
    data[middle : middle + 8192] = b"\xff" * 8192
    (root / "layerfs.db").write_bytes(data)
    with LayerFS.open(root) as again:
        assert set(kinds(again)) == {"database"}


def test_a_check_without_writing_says_the_same(store, root):
    digest = store.add_layer(stream({"a": b""})).digest
    (root / "blobs/sha256" / digest[7:]).unlink()
    (root / "layers" / ("1" * 64)).mkdir()
    (root / "staging/0123").mkdir()
    with LayerFS.open(root, readonly=True) as reader:
        assert reader.check() == store.check()
    assert os.listdir(root / "staging") == ["0123"]
