import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from layerfs import mounts, syscalls, views
from layerfs.errors import (
    InvalidMountPointError,
    LayerNotFoundError,
    LimitExceededError,
    PermissionDeniedError,
    ReadOnlyFilesystemError,
    StorageError,
    UnmountFailedError,
    UnsupportedError,
    ValidationError,
)
from layerfs.records import Mount
from layerfs.store import LayerFS

from .isolation import IS_ROOT, both_ways, isolated, needs_root, process
from .recipes import contents, stream

UNKNOWN = "sha256:" + "0" * 64


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "target"


def opened(root, count=2):
    """Open a store with layers that each have a file of their own and replace a common one."""
    store = LayerFS.open(root)
    layers = [
        store.add_layer(stream({f"f{n}": b"", "all": f"{n}".encode(), "d": None, f"d/{n}": b""}))
        for n in range(count)
    ]
    return store, [layer.digest for layer in layers]


def idle(root, target):
    """Nothing of a view is left anywhere."""
    assert not [e for e in mounts.mountinfo() if e.target.startswith(os.fsencode(target))]
    found = contents(root)
    assert found["run"] == found["staging"] == []
    return True


# --- stack and unmount


@both_ways
def test_layers_are_stacked_base_first(root, target, rootless):  # noqa: ARG001
    store, digests = opened(root)
    with store:
        mount = store.stack(digests, target)
        assert mount == Mount(str(target), tuple(digests), writable=False)
        assert store.mounts() == [mount]
        assert sorted(os.listdir(target)) == ["all", "d", "f0", "f1"]
        assert (target / "all").read_bytes() == b"1"
        with pytest.raises(OSError, match="Read-only"):
            (target / "new").write_text("")
        store.unmount(target)
        assert store.mounts() == []
        assert not target.exists()
        store.stack(digests[::-1], target)
        assert (target / "all").read_bytes() == b"0"
        store.unmount(target)
    assert idle(root, target)


@both_ways
def test_one_layer_can_be_mounted_by_itself(root, target, rootless):  # noqa: ARG001
    store, digests = opened(root)
    with store:
        mount = store.mount_layer(digests[0], target)
        assert mount.digests == (digests[0],)
        assert (target / "all").read_bytes() == b"0"
        store.unmount_layer(target)
    assert idle(root, target)


@both_ways
def test_what_is_written_to_a_view_stays_in_it_and_goes_with_it(root, tmp_path, rootless):  # noqa: ARG001
    store, digests = opened(root)
    with store:
        for name in "ab":
            store.stack(digests, tmp_path / name, writable=True)
        (tmp_path / "a/all").write_text("mine")
        assert (tmp_path / "b/all").read_bytes() == b"1"
        assert store.verify() == []
        store.unmount(tmp_path / "a")
        store.stack(digests, tmp_path / "a", writable=True)
        assert (tmp_path / "a/all").read_bytes() == b"1"


@isolated
def test_an_empty_directory_is_a_target_and_stays_after_the_unmount(root, target):
    target.mkdir()
    store, digests = opened(root)
    with store:
        store.stack(digests, target)
        store.unmount(target)
    assert os.listdir(target) == []
    assert idle(root, target)


@isolated
def test_a_target_may_be_called_anything(root, tmp_path):
    store, digests = opened(root)
    with store:
        for name in (
            b"a:b,c\\d",
            b"n\nl",
            b"sp ace",
            b"\xff\xfe",
            b"lowerdir=x",
            b"-r",
            b"\xc3\xa9",
        ):
            where = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))
            assert store.stack(digests, where).target == where
            assert [mount.target for mount in store.mounts()] == [where]
            assert (Path(where) / "f1").exists()
            store.unmount(where)
            assert not os.path.lexists(where)


@isolated
def test_a_relative_target_is_meant_from_here(root, tmp_path):
    store, digests = opened(root)
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    os.chdir(tmp_path / "here")
    with store:
        for given in ("x", "./x/", "../here/x", tmp_path / "link/x", "y/../x"):
            if given == "y/../x":
                (tmp_path / "here/y").mkdir()
            assert store.stack(digests, given).target == str(tmp_path / "here/x")
            os.chdir("/")
            store.unmount(tmp_path / "here/x")
            os.chdir(tmp_path / "here")


@isolated
def test_views_can_be_nested_and_are_unmounted_together(root, target):
    store, digests = opened(root)
    with store:
        store.stack(digests, target, writable=True)
        store.stack(digests, target / "inner", writable=True)
        store.stack(digests, target / "inner/most")
        assert len(store.mounts()) == 3
        with pytest.raises(UnmountFailedError, match="nested"):
            store.unmount(target)
    assert idle(root, target)


# --- refusals


def test_no_layers_cannot_be_stacked(root, target):
    with LayerFS.open(root) as store:
        for digests in ([], (), "sha256:" + "0" * 64):
            with pytest.raises(ValidationError):
                store.stack(digests, target)
        with pytest.raises(ValidationError):
            store.stack(["sha256:x"], target)
        with pytest.raises(UnsupportedError):
            store.stack([UNKNOWN], target, namespace="n")
        with pytest.raises(LayerNotFoundError) as refusal:
            store.stack([UNKNOWN], target)
        assert refusal.value.digest == UNKNOWN
    assert not target.exists()


def bad_targets(tmp_path, root):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("precious")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    (tmp_path / "dangling").symlink_to("nowhere")
    yield from ("file", "full", "link", "dangling", "no/where", "file/below", "n" * 256)
    yield from ("", "a\0b", "/", root, root / "target", root / "layers", tmp_path)


@isolated
def test_a_target_that_cannot_be_one_is_left_as_it_is(root, tmp_path):
    store, digests = opened(root)
    os.chdir(tmp_path)
    with store:
        for bad in bad_targets(tmp_path, root):
            before = sorted(tmp_path.rglob("*"))
            with pytest.raises(InvalidMountPointError):
                store.stack(digests, bad)
            assert sorted(tmp_path.rglob("*")) == before
        assert store.mounts() == []
        assert (tmp_path / "file").read_text() == "precious"
    assert idle(root, tmp_path)


@isolated
def test_what_is_mounted_on_already_is_refused(root, target):
    store, digests = opened(root)
    with store:
        store.stack(digests, target)
        with pytest.raises(InvalidMountPointError, match="already"):
            store.stack(digests, target)
        assert len(store.mounts()) == 1
        store.unmount(target)
        target.mkdir()
        syscalls.mount("none", target, "tmpfs")
        with pytest.raises(InvalidMountPointError, match="already"):
            store.stack(digests, target)
        syscalls.umount2(target)
    assert idle(root, target)


@isolated
def test_more_layers_than_overlayfs_takes_are_refused_with_the_number(root, target):
    with LayerFS.open(root) as store:
        digests = [store.add_layer(stream({f"{n}": b""})).digest for n in range(501)]
        with pytest.raises(LimitExceededError) as refusal:
            store.stack(digests, target)
        assert refusal.value.limit == "max_layers=500"
        assert not target.exists()
        store.stack(digests[:499], target)
        assert len(os.listdir(target)) == 499
        store.unmount(target)
    assert idle(root, target)


@isolated
def test_a_layer_whose_tree_is_gone_is_found_before_anything_is_mounted(root, target):
    store, digests = opened(root)
    with store:
        diff_id = store.get_layer(digests[0]).diff_id
        os.rename(root / "layers" / diff_id[7:], root / "layers/gone")
        with pytest.raises(StorageError, match="layerfs repair"):
            store.stack(digests, target)
    assert not target.exists()
    assert idle(root, target)


@isolated
def test_an_interrupt_while_mounting_leaves_nothing(root, target, monkeypatch):
    store, digests = opened(root)
    backend = type(store._parts.backend)
    view = backend.view

    def interrupted(*args, **kwargs):
        view(*args, **kwargs)
        raise KeyboardInterrupt

    with store:
        monkeypatch.setattr(backend, "view", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.stack(digests, target, writable=True)
        assert store.mounts() == []
        assert not target.exists()
        assert idle(root, target)
        assert all(store.remove_layer(digest) for digest in digests)


@pytest.mark.skipif(IS_ROOT, reason="root may mount")
def test_without_the_privilege_to_mount_a_stack_is_denied(root, target):
    store, digests = opened(root)
    with store:
        with pytest.raises(PermissionDeniedError, match="unshare"):
            store.stack(digests, target)
        assert store.check() == []
    assert not target.exists()


# --- the end of a view


def test_what_is_no_view_cannot_be_unmounted(root, tmp_path):
    with LayerFS.open(root) as store:
        for target in (tmp_path, tmp_path / "nothing", "/", "/proc"):
            with pytest.raises(InvalidMountPointError):
                store.unmount(target)
            with pytest.raises(InvalidMountPointError):
                store.commit(target)


@isolated
def test_a_busy_view_stays_whole_and_a_retry_works(root, target):
    store, digests = opened(root)
    with store:
        store.stack(digests, target, writable=True)
        (target / "new").write_text("kept")
        with process(f"os.chdir({str(target)!r})") as holder:
            with pytest.raises(UnmountFailedError) as refusal:
                store.unmount(target)
            assert str(holder.pid) in refusal.value.holder
            assert (target / "new").read_text() == "kept"
            assert len(store.mounts()) == 1
        store.unmount(target)
    assert idle(root, target)


@isolated
def test_a_view_that_was_unmounted_by_hand_is_cleaned_up(root, target):
    store, digests = opened(root)
    with store:
        for end in (store.unmount, lambda _: store.close_all_views()):
            store.stack(digests, target, writable=True)
            syscalls.umount2(target)
            assert store.mounts() == []
            end(target)
            if end != store.unmount:
                store.stack(digests, target)  # which forgets the stale view first
                store.unmount(target)
            assert not target.exists()
    assert idle(root, target)


@isolated
def test_a_foreign_mount_over_a_view_is_never_touched(root, target):
    store, digests = opened(root)
    store.stack(digests, target)
    syscalls.mount("none", target, "tmpfs")
    (target / "theirs").write_text("")
    with pytest.raises(UnmountFailedError):
        store.unmount(target)
    assert (target / "theirs").exists()
    syscalls.umount2(target)
    store.close()
    assert idle(root, target)


@isolated
def test_close_unmounts_what_this_object_mounted_and_nothing_else(root, tmp_path):
    store, digests = opened(root)
    other = LayerFS.open(root)
    other.stack(digests, tmp_path / "other")
    store.stack(digests, tmp_path / "mine")
    store.close()
    assert [mount.target for mount in other.mounts()] == [str(tmp_path / "other")]
    other.close(unmount=False)
    again = LayerFS.open(root)
    assert [mount.target for mount in again.mounts()] == [str(tmp_path / "other")]
    again.close_all_views()
    assert again.mounts() == []
    again.close()
    again.close()
    assert idle(root, tmp_path / "other")


@isolated
def test_close_goes_on_past_a_busy_view_and_can_be_repeated(root, tmp_path):
    store, digests = opened(root)
    for name in "abc":
        store.stack(digests, tmp_path / name)
    with process(f"os.chdir({str(tmp_path / 'b')!r})"), pytest.raises(UnmountFailedError):
        store.close()
    assert [mount.target for mount in store.mounts()] == [str(tmp_path / "b")]
    store.close()
    assert idle(root, tmp_path / "b")


@isolated
def test_a_view_in_another_namespace_is_listed_held_and_dropped_with_it(root, target):
    store, digests = opened(root)
    with store:
        code = (
            f"sys.path.insert(0, {str(Path(views.__file__).parents[1])!r})\n"
            "from layerfs.store import LayerFS\n"
            f"LayerFS.open({str(root)!r}).stack({digests!r}, {str(target)!r}, writable=True)"
        )
        with process(code, unshare=["unshare", "-m"]):
            assert [mount.target for mount in store.mounts()] == [str(target)]
            assert store.stats().mounted == 2
            assert not mounts.is_mountpoint(target)
            with pytest.raises(UnmountFailedError, match="another mount namespace"):
                store.unmount(target)
            assert len(contents(root)["run"]) == 1
            assert store.collect_garbage().removed == ()
        assert store.mounts() == []
        assert [problem.kind for problem in store.check()] == ["stale-mount"]
        assert store.remove_layer(digests[0])
        assert store.check() == []
    assert not target.exists()


# --- new layers


@both_ways
def test_a_commit_is_a_layer_of_the_changes(root, target, tmp_path, rootless):  # noqa: ARG001
    store, digests = opened(root)
    with store:
        store.stack(digests, target, writable=True)
        (target / "new").write_text("new")
        (target / "f0").unlink()
        one = store.commit(target)
        assert store.commit(target) == one
        assert len(store.mounts()) == 1
        (target / "later").write_text("")
        assert store.commit(target) != one
        store.stack([*digests, one.digest], tmp_path / "again")
        names = {"all", "d", "f1", "new"}
        assert set(os.listdir(tmp_path / "again")) == names
        with tarfile.open(root / "blobs/sha256" / one.digest[7:]) as archive:
            assert archive.getnames() == [".", ".wh.f0", "new"]
        assert store.verify() == store.check() == []


@isolated
def test_a_view_without_changes_is_committed_as_an_empty_layer(root, target):
    store, digests = opened(root)
    with store:
        store.stack(digests, target, writable=True)
        layer = store.commit(target)
        with tarfile.open(root / "blobs/sha256" / layer.digest[7:]) as archive:
            assert archive.getnames() == []


@isolated
def test_source_date_epoch_bounds_the_times_of_a_commit(root, target, monkeypatch):
    store, digests = opened(root)
    with store:
        store.stack(digests, target, writable=True)
        (target / "new").write_text("")
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000")
        layer = store.commit(target)
        with tarfile.open(root / "blobs/sha256" / layer.digest[7:]) as archive:
            assert archive.getmember("new").mtime == 1000
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
        with pytest.raises(ValidationError, match="SOURCE_DATE_EPOCH"):
            store.commit(target)


@isolated
def test_a_read_only_view_cannot_be_committed(root, target):
    store, digests = opened(root)
    with store:
        store.stack(digests, target)
        with pytest.raises(ReadOnlyFilesystemError):
            store.commit(target)
    with LayerFS.open(root) as store:
        assert len(store.layers()) == 2


@isolated
def test_an_unmount_waits_for_a_commit_of_the_view(root, target):
    store, digests = opened(root)
    store.stack(digests, target, writable=True)
    (row,) = store._parts.meta.mounts()
    code = (
        f"sys.path.insert(0, {str(Path(views.__file__).parents[1])!r})\n"
        "from layerfs.store import LayerFS\n"
        f"LayerFS.open({str(root)!r}).unmount({str(target)!r})"
    )
    with views._used(store._parts, row, fcntl.LOCK_SH):
        child = subprocess.Popen([sys.executable, "-c", f"import sys\n{code}"])
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1)
        assert mounts.is_mountpoint(target)
    assert child.wait(30) == 0
    store.close()
    assert idle(root, target)


@isolated
def test_a_merge_is_one_layer_with_the_effect_of_several(root, target):
    store, digests = opened(root, 3)
    with store:
        upper = store.add_layer(stream({".wh.f0": b"", "d/.wh..wh..opq": b""})).digest
        merged = store.merge([*digests, upper])
        assert store.merge([*digests, upper]) == merged
        assert store.merge([digests[0], *digests, upper]) == merged
        store.stack([merged.digest], target)
        assert sorted(os.listdir(target)) == ["all", "d", "f1", "f2"]
        assert os.listdir(target / "d") == []
        assert len(store.layers()) == 5
        assert store.verify() == []


def test_nothing_and_the_unknown_cannot_be_merged(root):
    with LayerFS.open(root) as store:
        with pytest.raises(ValidationError):
            store.merge([])
        with pytest.raises(LayerNotFoundError):
            store.merge([UNKNOWN])


# --- counting


@isolated
def test_stats_count_layers_once_each_and_bytes_on_disk(root, target):
    store, digests = opened(root, 4)
    with store:
        store.lease("mine", digests[:2])
        store.stack(digests[1:3], target)
        stats = store.stats()
        assert (stats.layers, stats.mounted, stats.referenced, stats.unused) == (4, 2, 2, 1)
        assert stats.mounts == 1
        total = sum(
            int(line.split("\t")[0])
            for line in subprocess.check_output(
                ["du", "-sB1", *(root / "layers").iterdir(), *(root / "blobs/sha256").iterdir()],
                text=True,
            ).splitlines()
        )
        assert stats.bytes_total == total


# --- several at once


def stack_and_unmount(number, root, digests, target):
    # One target of all, and one of each: what is refused is refused for a documented reason.
    with LayerFS.open(root) as store:
        for _ in range(8):
            own = f"{target}-{number}"
            store.stack(digests, own, writable=True)
            Path(own, "mine").write_text("")
            try:
                store.stack(digests, target)
                store.unmount(target)
            except (InvalidMountPointError, UnmountFailedError):
                pass
            store.unmount(own)


@isolated
def test_four_processes_stack_and_unmount_side_by_side(root, target):
    store, digests = opened(root)
    context = multiprocessing.get_context("fork")
    crowd = [
        context.Process(target=stack_and_unmount, args=(n, root, digests, target)) for n in range(4)
    ]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert [one.exitcode for one in crowd] == [0] * 4
    assert store.mounts() == []
    assert store.check() == []
    store.close()
    assert idle(root, target)


@needs_root
@isolated
def test_a_killed_process_leaves_its_view_to_whoever_comes_next(root, target):
    store, digests = opened(root)
    child = os.fork()
    if child == 0:
        LayerFS.open(root).stack(digests, target, writable=True)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert [mount.target for mount in store.mounts()] == [str(target)]
    store.unmount(target)
    store.close()
    assert idle(root, target)
