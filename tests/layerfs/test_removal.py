import contextlib
import errno
import os
import stat
import threading

import pytest

from layerfs import syscalls
from layerfs.errors import PermissionDeniedError, StorageError
from layerfs.removal import disk_usage, remove_tree

from .isolation import IS_ROOT, isolated


def deep(top, depth):
    """Make directories below each other, deeper than a path can say."""
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        os.mkdir("other", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


def test_files_directories_and_links_are_deleted(tmp_path):
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    (top / "a/file").write_text("x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").write_text("x")
    (top / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(top / "a/fifo")
    remove_tree(top)
    assert os.listdir(tmp_path) == ["outside"]
    assert (tmp_path / "outside/kept").exists()


def test_a_file_or_symlink_itself_can_be_deleted(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("nowhere")
    remove_tree(tmp_path / "file")
    remove_tree(tmp_path / "link")
    assert os.listdir(tmp_path) == []


def test_a_symlink_to_a_directory_is_deleted_and_its_target_is_not(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    remove_tree(tmp_path / "link")
    assert os.listdir(tmp_path) == ["kept"]


def test_what_is_not_there_is_deleted_already(tmp_path):
    remove_tree(tmp_path / "nothing")
    remove_tree(tmp_path / "no/where")


def test_ten_thousand_levels_are_no_obstacle(tmp_path):
    deep(tmp_path / "top", 10_000)
    remove_tree(tmp_path / "top")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mode", [0o000, 0o111, 0o444, 0o555])
def test_directories_without_permissions_are_deleted(tmp_path, mode):
    for place in ("top/a/b/c", "top/x/b/c"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "file").write_text("x")
        for at in (place, place.rpartition("/")[0], place[:5]):
            (tmp_path / at).chmod(mode if mode & 0o500 == 0o500 else 0o755)
        (tmp_path / place).chmod(mode)
    (tmp_path / "top").chmod(0o555)
    remove_tree(tmp_path / "top")
    assert os.listdir(tmp_path) == []


def test_on_a_full_disk_nothing_need_be_moved(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "rename", full)  # as ZFS has it
    (tmp_path / "top/a").mkdir(parents=True)
    deep(tmp_path / "top/a/d", 300)
    (tmp_path / "top/a/file").touch()
    (tmp_path / "top/a/link").symlink_to(tmp_path)
    (tmp_path / "top/b/c").mkdir(parents=True, mode=0o500)
    descriptors = os.listdir("/proc/self/fd")
    remove_tree(tmp_path / "top")
    assert os.listdir(tmp_path) == []
    assert os.listdir("/proc/self/fd") == descriptors


@isolated
def test_on_a_full_disk_what_is_mounted_inside_is_left_alone(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "rename", full)
    (tmp_path / "top/a/b/mounted").mkdir(parents=True)
    syscalls.mount("none", tmp_path / "top/a/b/mounted", "tmpfs")
    (tmp_path / "top/a/b/mounted/kept").touch()
    with pytest.raises(StorageError, match="something is mounted inside"):
        remove_tree(tmp_path / "top")
    assert (tmp_path / "top/a/b/mounted/kept").exists()


def test_names_like_our_own_are_no_obstacle(tmp_path):
    top = tmp_path / "top"
    (top / "a/b/c").mkdir(parents=True)
    for n in range(3):
        (top / f".removing-{n}").mkdir()
        (top / f".removing-{n}/full").mkdir()
    (top / ".removing-3").write_text("x")
    remove_tree(top)
    assert os.listdir(tmp_path) == []


def test_two_can_delete_the_same_tree_at_once(tmp_path):
    for _ in range(5):
        top = tmp_path / "top"
        for n in range(200):
            (top / f"{n}/below").mkdir(parents=True)
            (top / f"{n}/file").write_text("x")
        errors = []

        def run(top=top, errors=errors):
            try:
                remove_tree(top)
            except StorageError as error:
                errors.append(error)

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert not top.exists()


@isolated
def test_what_is_mounted_inside_is_left_alone(tmp_path):
    top = tmp_path / "top"
    (top / "a/mounted").mkdir(parents=True)
    syscalls.mount("none", top / "a/mounted", "tmpfs")
    (top / "a/mounted/kept").write_text("x")
    with pytest.raises(StorageError, match="something is mounted inside") as refusal:
        remove_tree(top)
    assert not isinstance(refusal.value, PermissionDeniedError)
    assert [path.name for path in top.rglob("kept")] == ["kept"]
    (mounted,) = (path.parent for path in top.rglob("kept"))
    syscalls.umount2(mounted)
    remove_tree(top)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(IS_ROOT, reason="root may delete everywhere")
def test_another_users_directory_is_refused():
    with pytest.raises(PermissionDeniedError):
        remove_tree("/root")


def test_disk_usage_counts_blocks_and_hardlinks_once(tmp_path):
    top = tmp_path / "top"
    top.mkdir()
    empty = disk_usage(top)
    (top / "file").write_bytes(b"x" * 100_000)
    os.link(top / "file", top / "again")
    (top / "sparse").write_bytes(b"")
    os.truncate(top / "sparse", 1 << 30)
    blocks = stat.S_ISREG(0) + os.stat(top / "file").st_blocks * 512
    assert disk_usage(top) - empty == blocks
    assert disk_usage(tmp_path / "nothing") == 0


def test_disk_usage_counts_a_tree_that_is_deeper_than_a_path_can_say(tmp_path):
    deep(tmp_path / "shallow", 1)
    deep(tmp_path / "deep", 3001)
    one = disk_usage(tmp_path / "shallow") - os.stat(tmp_path).st_blocks * 512
    assert disk_usage(tmp_path / "deep") == os.stat(tmp_path).st_blocks * 512 + 3001 * one
    remove_tree(tmp_path / "deep")


def test_disk_usage_does_not_follow_a_symlink_that_takes_a_directory_s_place(tmp_path, monkeypatch):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/large").write_bytes(b"x" * 100_000)
    (tmp_path / "top/d").mkdir(parents=True)
    scandir = os.scandir

    def swapped(fd):
        entries = list(scandir(fd))
        for entry in entries:
            entry.stat(follow_symlinks=False)
        if os.path.isdir(tmp_path / "top/d") and not os.path.islink(tmp_path / "top/d"):
            os.rmdir(tmp_path / "top/d")
            os.symlink(tmp_path / "foreign", tmp_path / "top/d")
        return contextlib.nullcontext(entries)

    monkeypatch.setattr(os, "scandir", swapped)
    assert disk_usage(tmp_path / "top") < 100_000
    assert os.path.islink(tmp_path / "top/d")
