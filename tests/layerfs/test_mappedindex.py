import os

import pytest

from layerfs import filesystems, mappedindex, staging
from layerfs.filesystems import FileSystem
from layerfs.mappedindex import MappedIndex
from layerfs.metastore import Database
from layerfs.staging import Staging


@pytest.fixture
def zfs(tmp_path, monkeypatch):
    """A host with an OpenZFS of some version; ``tmp_path`` is said to be a dataset."""
    version = tmp_path / "version"
    monkeypatch.setattr(mappedindex, "_VERSION", version)
    monkeypatch.setattr(filesystems, "file_system_of", lambda _: FileSystem("zfs", "tank/d"))
    return version.write_text


@pytest.mark.parametrize(
    ("version", "needed"),
    [
        ("2.1.11-1+deb12u1\n", True),
        ("2.2.2-0ubuntu9\n", True),
        ("0.8.3\n", True),
        ("2.3.9-0+deb13u1\n", False),
        ("2.10.0\n", False),
        ("3.0\n", False),
        ("from git\n", False),
    ],
)
def test_only_old_versions_need_it(zfs, tmp_path, version, needed):
    zfs(version)
    assert (MappedIndex.where_needed(tmp_path / "x") is not None) == needed


def test_no_other_file_system_needs_it(zfs, tmp_path, monkeypatch):
    zfs("2.1.11\n")
    monkeypatch.setattr(filesystems, "file_system_of", lambda _: FileSystem("ext4", "/dev/vda"))
    assert MappedIndex.where_needed(tmp_path / "x") is None


def test_without_zfs_it_is_not_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(mappedindex, "_VERSION", tmp_path / "none")
    assert MappedIndex.where_needed(tmp_path / "x") is None


def test_it_is_written_back_through_sqlites_own_descriptor(zfs, tmp_path, monkeypatch):
    zfs("2.1.11\n")
    path = tmp_path / "meta.db"
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    database = Database.open(path)
    try:
        with database.transaction():
            database.run_script(["CREATE TABLE t (x INTEGER)"])
        assert synced == []
        for _ in range(2):
            database.write_back_index()
    finally:
        database.close()
    assert synced == [f"{path}-shm"] * 2


def test_an_operation_writes_it_back_before_it_syncs(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(staging, "syncfs", lambda _: order.append("syncfs"))
    with Staging(tmp_path, lambda: order.append("index")).operation() as operation:
        operation.sync()
    assert order == ["index", "syncfs"]


def test_a_database_that_has_no_index_is_left_alone(tmp_path):
    MappedIndex(tmp_path / "none").write_back()
    assert list(tmp_path.iterdir()) == []
