import errno
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from layerfs import syscalls
from layerfs.errors import (
    InvalidOverlayError,
    MetadataError,
    PathError,
    PermissionDeniedError,
    ReadOnlyFilesystemError,
    StorageError,
    UnsupportedError,
)
from layerfs.records import Layer
from layerfs.store import LayerFS

from .isolation import IS_ROOT, ROOT, enter_namespace, isolated, needs_root
from .recipes import stream


def bind_read_only(directory):
    syscalls.mount(directory, directory, None, syscalls.MS_BIND)
    flags = syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY
    syscalls.mount(None, directory, None, flags)


@pytest.mark.parametrize("prepare", ["missing", "deeply missing", "empty", "lost+found", ".zfs"])
def test_a_store_is_created_where_there_is_nothing(tmp_path, prepare):
    root = tmp_path / "a/b/store" if prepare == "deeply missing" else tmp_path / "store"
    if prepare in {"empty", "lost+found", ".zfs"}:
        root.mkdir()
    if prepare in {"lost+found", ".zfs"}:
        (root / prepare).mkdir()
    with LayerFS.open(root) as store:
        assert store.layers() == []
        assert store.root == root
        assert not store.readonly
        assert (store.has_zfs, store.zfs_pool, store.zfs_dataset) == (False, None, None)
        assert store.check() == []
    for private in ("layers", "staging", "run"):
        assert (root / private).stat().st_mode & 0o777 == 0o700


def test_a_store_is_opened_again_by_any_path_that_leads_to_it(tmp_path, monkeypatch):
    with LayerFS.open(tmp_path / "store") as store:
        digest = store.add_layer(stream({"a": b""})).digest
    (tmp_path / "link").symlink_to("store")
    monkeypatch.chdir(tmp_path)
    for path in ("store", "./store/", "link", tmp_path / "store/../store"):
        with LayerFS.open(path) as store:
            assert [layer.digest for layer in store.layers()] == [digest]
            assert store.root == tmp_path / "store"


@isolated
def test_a_store_may_be_called_anything(tmp_path):
    for name in (b"a?b=c&mode=ro#d%20e", b"\xff\xfe", b"a:b,c\\d\n", b" ", b"-r"):
        root = os.path.join(tmp_path, os.fsdecode(name))
        with LayerFS.open(root) as store:
            digest = store.add_layer(stream({"a": b"", "b/.wh.x": b""})).digest
            store.stack([digest], tmp_path / "target", writable=True)
            store.commit(tmp_path / "target")
            store.unmount(tmp_path / "target")
        with LayerFS.open(root, readonly=True) as store:
            assert store.check() == store.verify() == []
    assert len(os.listdir(tmp_path)) == 5


@pytest.mark.skipif(os.path.exists("/dev/zfs"), reason="this machine has ZFS")
def test_without_zfs_a_store_on_a_dataset_is_refused_and_nothing_is_made(tmp_path):
    with pytest.raises(UnsupportedError, match="no ZFS here"):
        LayerFS.open(tmp_path / "store", zfs="pool/layers")
    assert os.listdir(tmp_path) == []


# --- what is no store


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").write_text("")
    for readonly in (False, True):
        with pytest.raises(PathError, match="not a directory"):
            LayerFS.open(tmp_path / "file", readonly=readonly)
        with pytest.raises(PathError):
            LayerFS.open(tmp_path / "file/below", readonly=readonly)


def test_a_directory_with_anything_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "home").write_text("precious")
    with pytest.raises(StorageError, match=r"not a layerfs store.*'home'"):
        LayerFS.open(tmp_path)
    assert os.listdir(tmp_path) == ["home"]


def test_an_image_layout_of_others_is_left_alone(tmp_path):
    (tmp_path / "blobs/sha256").mkdir(parents=True)
    (tmp_path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(StorageError, match="import from it"):
        LayerFS.open(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["blobs", "index.json", "oci-layout"]


def test_a_store_that_was_half_created_is_finished(tmp_path):
    root = tmp_path / "store"
    (root / "staging").mkdir(parents=True)
    (root / "lock").write_text("")
    (root / "index.json.new").write_text('{"sch')
    with LayerFS.open(root) as store:
        assert store.check() == []
    assert not (root / "index.json.new").exists()


def test_directories_that_a_copy_lost_are_made_again(tmp_path):
    LayerFS.open(tmp_path / "store").close()
    for name in ("staging", "run", "blobs/sha512"):
        (tmp_path / "store" / name).rmdir()
    with LayerFS.open(tmp_path / "store") as store:
        store.add_layer(stream({"a": b""}))
        assert store.check() == []


# --- readonly


def changes(store, tmp_path):
    some = "sha256:" + "0" * 64
    yield lambda: store.add_layer(stream({}))
    yield lambda: store.remove_layer(some)
    yield lambda: store.stack([some], tmp_path / "target")
    yield lambda: store.mount_layer(some, tmp_path / "target")
    yield lambda: store.unmount(tmp_path / "target")
    yield lambda: store.commit(tmp_path / "target")
    yield lambda: store.merge([some])
    yield store.collect_garbage
    yield store.repair
    yield lambda: store.lease("x", [])
    yield lambda: store.release("x")
    yield lambda: store.import_image(tmp_path)
    yield lambda: store.remove_image("x")


def test_a_readonly_store_refuses_every_change_and_answers_all_questions(tmp_path):
    root = tmp_path / "store"
    with LayerFS.open(root) as store:
        digest = store.add_layer(stream({"a": b"1"})).digest
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    with LayerFS.open(root, readonly=True) as store:
        assert store.readonly
        for change in changes(store, tmp_path):
            with pytest.raises(ReadOnlyFilesystemError, match="readonly"):
                change()
        assert store.get_layer(digest).digest == digest
        assert [layer.digest for layer in store.layers()] == store.order() == [digest]
        assert store.verify() == []
        assert store.check() == []
        assert store.mounts() == []
        assert store.images() == []
        assert store.stats().layers == 1
        assert store.collect_garbage(dry_run=True).removed == (digest,)
        store.check_cycles()
        store.export_image(tmp_path / "out", [digest])
    assert before.items() <= {path: path.lstat().st_mtime_ns for path in root.rglob("*")}.items()


def test_readonly_creates_nothing(tmp_path):
    with pytest.raises(PathError):
        LayerFS.open(tmp_path / "store", readonly=True)
    (tmp_path / "store").mkdir()
    with pytest.raises(StorageError):
        LayerFS.open(tmp_path / "store", readonly=True)
    assert os.listdir(tmp_path / "store") == []


@isolated
def test_a_store_on_a_read_only_file_system_can_only_be_read(tmp_path):
    root = tmp_path / "store"
    with LayerFS.open(root) as store:
        store.add_layer(stream({"a": b"1"}))
    bind_read_only(root)
    with pytest.raises(ReadOnlyFilesystemError, match="open it readonly") as refusal:
        LayerFS.open(root)
    assert refusal.value.errno == errno.EROFS
    with LayerFS.open(root, readonly=True) as store:
        assert len(store.layers()) == 1
        assert store.verify() == []


@pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
def test_a_store_of_another_user_can_only_be_read(tmp_path):
    root = tmp_path / "store"
    LayerFS.open(root).close()
    (root / "lock").chmod(0o400)
    with pytest.raises(PermissionDeniedError, match="readonly, or as its owner"):
        LayerFS.open(root)
    with LayerFS.open(root, readonly=True) as store:
        assert store.layers() == []


# --- metadata


def test_a_damaged_database_is_refused_and_names_the_remedy(tmp_path):
    root = tmp_path / "store"
    LayerFS.open(root).close()
    (root / "layerfs.db").write_bytes(b"garbage" * 1000)
    for readonly in (False, True):
        with pytest.raises(MetadataError, match="layerfs repair"):
            LayerFS.open(root, readonly=readonly)
    with LayerFS.open(root, recover=True) as store:
        assert store.layers() == []
    assert (root / "layerfs.db.damaged").read_bytes().startswith(b"garbage")
    LayerFS.open(root).close()


def test_a_newer_database_is_refused_also_for_a_recovery(tmp_path):
    root = tmp_path / "store"
    with LayerFS.open(root) as store, store._parts.meta.transaction():
        store._parts.meta.database.run_script(["PRAGMA user_version = 99"])
    for recover in (False, True):
        with pytest.raises(MetadataError, match=r"version 99.*version \d"):
            LayerFS.open(root, recover=recover)
    assert not (root / "layerfs.db.damaged").exists()


# --- what the host can do


@isolated
@pytest.mark.parametrize("there", [False, True])
def test_where_a_store_cannot_be_nothing_is_made(tmp_path, there):
    syscalls.mount("none", tmp_path, "ramfs")
    root = tmp_path / "a/store"
    if there:
        root.mkdir(parents=True)
    with pytest.raises(InvalidOverlayError, match=r"ramfs.*no extended attributes"):
        LayerFS.open(root)
    assert list(tmp_path.rglob("*")) == ([root.parent, root] if there else [])


@isolated
def test_a_store_that_was_moved_to_another_file_system_is_probed_again(tmp_path):
    with LayerFS.open(tmp_path / "store") as store:
        before = store._parts.meta.setting("features")
    (tmp_path / "other").mkdir()
    syscalls.mount("none", tmp_path / "other", "tmpfs", data="mode=755")
    shutil.copytree(tmp_path / "store", tmp_path / "other/store")
    with LayerFS.open(tmp_path / "other/store") as store:
        after = store._parts.meta.setting("features")
    assert before["environment"] != after["environment"]
    assert {**before, "environment": ""} == {**after, "environment": ""}


@needs_root
@isolated
def test_a_store_of_the_hosts_root_is_refused_in_a_user_namespace(tmp_path):
    root = tmp_path / "store"
    LayerFS.open(root).close()
    enter_namespace(rootless=True)
    with pytest.raises(InvalidOverlayError, match=r"trusted\.overlay"):
        LayerFS.open(root)


@needs_root
@isolated
def test_a_rootless_store_stays_rootless_for_the_hosts_root(tmp_path):
    root = tmp_path / "store"
    child = os.fork()
    if child == 0:
        enter_namespace(rootless=True)
        with LayerFS.open(root) as store:
            store.add_layer(stream({"d": None, "d/.wh..wh..opq": b"", "d/.wh.x": b""}))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with LayerFS.open(root) as store:
        features = store._parts.meta.setting("features")
        assert features["userxattr"]
        assert store.verify() == []
        below = store.add_layer(stream({"d/x": b"", "d/y": b""}))
        store.stack([below.digest, store.layers()[0].digest], tmp_path / "target")
        assert os.listdir(tmp_path / "target/d") == []


def test_features_that_cannot_be_read_are_damaged_metadata(tmp_path):
    root = tmp_path / "store"
    with LayerFS.open(root) as store, store._parts.meta.transaction():
        store._parts.meta.set_setting("features", {"unknown": 1})
    with pytest.raises(MetadataError, match="unknown"):
        LayerFS.open(root)


# --- cost


def test_opening_loads_neither_the_tar_engine_nor_pydantic(tmp_path):
    LayerFS.open(tmp_path / "store").close()
    code = (
        "import sys, json; from layerfs.store import LayerFS\n"
        f"with LayerFS.open({os.fspath(tmp_path / 'store')!r}) as store: store.layers()\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"pydantic", "layerfs.manifest", "layerfs.tarstream", "layerfs.compression", "hashlib"}
    heavy |= {"layerfs.apply", "zstandard", "isal", "subprocess", "tempfile", "shutil"}
    assert not heavy & set(json.loads(done.stdout))


def test_opening_a_store_with_10000_layers_takes_no_longer(tmp_path):
    with LayerFS.open(tmp_path / "store") as store, store._parts.meta.transaction():
        for n in range(10_000):
            digest = f"sha256:{n:064x}"
            store._parts.meta.put_layer(Layer(digest, digest, 1, "t"), blob_bytes=1)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        with LayerFS.open(tmp_path / "store") as store:
            store.get_layer(digest)
            times.append(time.perf_counter() - began)
    assert min(times) < 0.1
