import os

import pytest

from layerfs import syscalls
from layerfs.errors import UnmountFailedError
from layerfs.store import LayerFS
from layerfs.viewstate import drop_stale, forget, is_live, is_mounted, remove_target

from .isolation import isolated, process
from .recipes import stream


def stacked(tmp_path):
    store = LayerFS.open(tmp_path / "store")
    store.stack([store.add_layer(stream({"a": b""})).digest], tmp_path / "t", writable=True)
    (row,) = store._parts.meta.mounts()
    return store._parts, row


@isolated
def test_a_mounted_view_is_live_and_stays(tmp_path):
    parts, row = stacked(tmp_path)
    assert is_mounted(parts, row)
    assert is_live(parts, row)
    assert drop_stale(parts, [row]) == []
    assert parts.meta.mounts() == [row]


@isolated
def test_an_unmounted_view_is_stale_and_goes_with_all_that_it_had(tmp_path):
    parts, row = stacked(tmp_path)
    syscalls.umount2(tmp_path / "t")
    assert not is_mounted(parts, row)
    assert not is_live(parts, row)
    assert drop_stale(parts, [row]) == [row]
    assert parts.meta.mounts() == []
    assert not (tmp_path / "t").exists()
    assert os.listdir(parts.run) == []


@isolated
def test_a_view_that_is_being_made_is_live(tmp_path):
    parts, row = stacked(tmp_path)
    syscalls.umount2(tmp_path / "t")
    (parts.staging.path / row.id).mkdir()
    with process(
        "import fcntl\n"
        f"lock = open({str(parts.staging.path / row.id / 'lock')!r}, 'w')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)"
    ):
        assert is_live(parts, row)


@isolated
def test_a_view_that_was_moved_is_live_and_is_not_forgotten(tmp_path):
    parts, row = stacked(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    syscalls.mount(tmp_path / "t", tmp_path / "elsewhere", None, 0x2000)  # MS_MOVE
    assert not is_mounted(parts, row)
    assert is_live(parts, row)
    with pytest.raises(UnmountFailedError, match="elsewhere"):
        forget(parts, row)
    assert parts.meta.mounts() == [row]


def test_a_target_that_is_in_use_is_not_removed(tmp_path):
    (tmp_path / "full/of").mkdir(parents=True)
    remove_target(str(tmp_path / "full"))
    remove_target(str(tmp_path / "nothing"))
    assert (tmp_path / "full/of").exists()


def test_a_target_behind_a_symlink_that_came_later_is_not_removed(tmp_path):
    (tmp_path / "parent/view").mkdir(parents=True)
    (tmp_path / "foreign/view").mkdir(parents=True)
    (tmp_path / "parent").rename(tmp_path / "moved")
    (tmp_path / "parent").symlink_to("foreign")
    remove_target(str(tmp_path / "parent/view"))
    assert (tmp_path / "foreign/view").exists()
    remove_target(str(tmp_path / "moved/view"))
    assert not (tmp_path / "moved/view").exists()
