import os

import pytest

from layerfs import reserve, syscalls
from layerfs.errors import WriteFailedError
from layerfs.store import LayerFS

from .isolation import both_ways
from .recipes import contents, stream


def fill(disk):
    """Leave not a single free block."""
    with (disk / "filler").open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    assert os.statvfs(disk).f_bfree == 0


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    return path


@both_ways
def test_a_store_on_a_full_disk_can_be_opened_and_emptied(disk, rootless):  # noqa: ARG001
    syscalls.mount("none", disk, "tmpfs", 0, "size=8m")
    root = disk / "store"
    with LayerFS.open(root) as store:
        digests = [store.add_layer(stream({f"{n}": b"x" * 300_000})).digest for n in range(4)]
        store.lease("mine", digests[2:])
    for step in (
        lambda store: store.remove_layer(digests[0]),
        lambda store: store.release("mine") or True,
        lambda store: len(store.collect_garbage().removed) == 3,
    ):
        fill(disk)
        with LayerFS.open(root) as store:
            with pytest.raises(WriteFailedError):
                store.add_layer(stream({"new": b"x" * 1_000_000}))
            assert step(store)
            assert store.check() == []
        (disk / "filler").unlink()
        LayerFS.open(root).close()
        assert (root / reserve.NAME).stat().st_blocks * 512 >= reserve.SIZE
    assert contents(root)["layers"] == []


@both_ways
def test_a_view_that_filled_the_disk_can_be_ended(disk, tmp_path, rootless):  # noqa: ARG001
    syscalls.mount("none", disk, "tmpfs", 0, "size=8m")
    with LayerFS.open(disk / "store") as store:
        store.stack([store.add_layer(stream({"a": b""})).digest], tmp_path / "t", writable=True)
        fill(disk)
        store.unmount(tmp_path / "t")
        assert store.check() == []


def test_the_reserve_is_kept_once(tmp_path):
    reserve.keep(tmp_path)
    before = (tmp_path / reserve.NAME).stat()
    reserve.keep(tmp_path)
    assert (tmp_path / reserve.NAME).stat() == before
    reserve.keep(tmp_path / "nothing")


def test_a_step_is_repeated_only_if_space_was_the_reason_and_some_was_freed(tmp_path):
    calls = []

    def full():
        calls.append(1)
        raise WriteFailedError("full")

    with pytest.raises(WriteFailedError):
        reserve.spending(tmp_path, full)
    assert len(calls) == 1
    reserve.keep(tmp_path)
    with pytest.raises(WriteFailedError):
        reserve.spending(tmp_path, full)
    assert len(calls) == 3
    reserve.keep(tmp_path)
    assert reserve.spending(tmp_path, lambda: 7) == 7
    with pytest.raises(KeyError):
        reserve.spending(tmp_path, {}.popitem)
    assert (tmp_path / reserve.NAME).exists()


def test_where_allocating_promises_nothing_the_reserve_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", lambda fd, _, size: os.truncate(fd, size))  # ZFS
    reserve.keep(tmp_path)
    found = (tmp_path / reserve.NAME).stat()
    assert found.st_size == reserve.SIZE <= found.st_blocks * 512


def test_the_reserve_is_waited_for_until_it_is_free(tmp_path, monkeypatch):
    reserve.keep(tmp_path)
    free = iter([5, 5, 5, 6])

    class Disk:
        def __init__(self, _):
            self.f_bfree = next(free)

    def step():
        if (tmp_path / reserve.NAME).exists():
            raise WriteFailedError("full")
        return list(free)

    monkeypatch.setattr(os, "statvfs", Disk)
    assert reserve.spending(tmp_path, step) == []
