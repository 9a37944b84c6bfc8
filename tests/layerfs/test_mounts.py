import os
import resource
import threading
from pathlib import Path

import pytest

from layerfs import mounts, syscalls
from layerfs.errors import (
    InvalidMountPointError,
    LimitExceededError,
    MountFailedError,
    PermissionDeniedError,
    UnmountFailedError,
)

from .isolation import IS_ROOT, both_ways, isolated, process

ways = pytest.mark.parametrize("new_api", [True, False], ids=["fsopen", "mount"])


def tree(path, **files):
    path.mkdir(parents=True)
    for name, content in files.items():
        (path / name).write_text(content)
    return os.fspath(path)


def trees(directory, count):
    """Trees 0 to count-1, each with a file of its own and one that all have; the last is on top."""
    made = [tree(directory / f"{n}", **{f"f{n}": "", "all": str(n)}) for n in range(count)]
    return made[::-1]


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "target"
    path.mkdir()
    return path


def no_mounts_below(path):
    return not [e for e in mounts.mountinfo() if e.target.startswith(os.fsencode(path))]


# --- mounting


@both_ways
@ways
@pytest.mark.parametrize("count", [2, 64, 500])
def test_all_layers_are_seen_and_the_first_one_wins(tmp_path, target, rootless, new_api, count):
    mounts.mount_overlay(
        trees(tmp_path / "t", count), target, userxattr=rootless, readonly=True, new_api=new_api
    )
    assert len(os.listdir(target)) == count + 1
    assert (target / "all").read_text() == str(count - 1)
    mounts.unmount(target)
    assert os.listdir(target) == []


@both_ways
@ways
def test_a_writable_view_keeps_its_lowers_and_fills_its_upper(tmp_path, target, rootless, new_api):
    lower = tree(tmp_path / "lower", old="old", gone="gone")
    upper, work = tree(tmp_path / "upper"), tree(tmp_path / "work")
    mounts.mount_overlay(
        [lower], target, upper=upper, work=work, userxattr=rootless, new_api=new_api
    )
    (target / "old").write_text("new")
    (target / "gone").unlink()
    mounts.unmount(target)
    assert (tmp_path / "lower" / "old").read_text() == "old"
    assert (tmp_path / "upper" / "old").read_text() == "new"
    assert (tmp_path / "upper" / "gone").is_char_device()


@both_ways
@ways
def test_a_readonly_view_refuses_to_be_written(tmp_path, target, rootless, new_api):
    mounts.mount_overlay(
        trees(tmp_path / "t", 2), target, userxattr=rootless, readonly=True, new_api=new_api
    )
    with pytest.raises(OSError, match="Read-only file system"):
        (target / "new").write_text("")
    entry = mounts.mount_at(target)
    assert "ro" in entry.options
    assert b"ro" in entry.super_options


@isolated
@ways
def test_names_may_hold_what_separates_mount_options(tmp_path, new_api):
    odd = tmp_path / "a:b,c\\d e\nf\udcff"
    target = odd / "target"
    lowers = [tree(odd / name, **{name: ""}) for name in ("x:y", "lowerdir=,")]
    upper, work = tree(odd / "up,per"), tree(odd / "wo\\rk")
    target.mkdir()
    mounts.mount_overlay(
        lowers, target, upper=upper, work=work, userxattr=not IS_ROOT, new_api=new_api
    )
    assert sorted(os.listdir(target)) == ["lowerdir=,", "x:y"]
    assert mounts.mount_at(target).target == os.fsencode(target)
    mounts.unmount(target)
    assert os.listdir(target) == []


@isolated
@ways
def test_paths_may_be_longer_than_an_option_may_be(tmp_path, target, new_api):
    deep = tmp_path / ("d" * 200) / ("e" * 200)
    mounts.mount_overlay(trees(deep, 3), target, readonly=True, new_api=new_api)
    assert sorted(os.listdir(target)) == ["all", "f0", "f1", "f2"]


@isolated
def test_the_old_way_does_not_touch_this_process(tmp_path, target):
    os.chdir(tmp_path)
    mounts.mount_overlay(trees(tmp_path / "t", 2), target, new_api=False)
    assert Path.cwd() == tmp_path
    assert threading.active_count() == 1


@isolated
def test_the_old_way_raises_a_low_limit_of_open_files(tmp_path, target):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowers = trees(tmp_path / "t", 200)
    last = [os.open("/", os.O_RDONLY) for _ in range(100)][-1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (last + 20, hard))
    mounts.mount_overlay(lowers, target, new_api=False)
    assert len(os.listdir(target)) == 201


@isolated
@ways
def test_the_source_says_whose_mount_it_is(tmp_path, target, new_api):
    mounts.mount_overlay(trees(tmp_path / "t", 2), target, source="layerfs:x", new_api=new_api)
    assert mounts.mount_at(target).source == b"layerfs:x"


@isolated
def test_no_descriptor_stays_open(tmp_path, target):
    before = os.listdir("/proc/self/fd")
    for new_api in (True, False):
        mounts.mount_overlay(trees(tmp_path / f"t{new_api}", 5), target, new_api=new_api)
        mounts.unmount(target)
    assert os.listdir("/proc/self/fd") == before


# --- refusals


@isolated
def test_more_than_500_layers_are_refused_by_that_number(tmp_path, target):
    with pytest.raises(LimitExceededError, match="501") as caught:
        mounts.mount_overlay(["/missing"] * 501, target)
    assert caught.value.limit == "max_layers=500"
    assert no_mounts_below(tmp_path)


@isolated
@ways
def test_a_failed_mount_says_which_layer_and_leaves_nothing(tmp_path, target, new_api):
    lowers = [tree(tmp_path / "here"), os.fspath(tmp_path / "nowhere")]
    with pytest.raises(MountFailedError, match=r"nowhere.*No such file or directory"):
        mounts.mount_overlay(lowers, target, new_api=new_api)
    assert no_mounts_below(tmp_path)
    assert target.is_dir()


@isolated
def test_a_failed_mount_carries_the_words_of_the_kernel(tmp_path, target):
    lower = tree(tmp_path / "lower", file="")
    with pytest.raises(MountFailedError, match=r"layer '.*/file': .*not a directory"):
        mounts.mount_overlay([lower, f"{lower}/file"], target, new_api=True)
    assert no_mounts_below(tmp_path)


@isolated
@ways
@pytest.mark.parametrize("what", ["missing", "file", "symlink"])
def test_only_a_directory_can_be_mounted_on(tmp_path, new_api, what):
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    (tmp_path / "symlink").symlink_to("directory")
    with pytest.raises(InvalidMountPointError) as caught:
        mounts.mount_overlay(trees(tmp_path / "t", 2), tmp_path / what, new_api=new_api)
    assert caught.value.path == os.fspath(tmp_path / what)
    assert no_mounts_below(tmp_path)


@isolated
def test_layers_that_the_kernel_did_not_take_are_missed(tmp_path, target, monkeypatch):
    real = syscalls.mount

    def forgetful(source, where, fstype=None, flags=0, data=None):
        shorter = data and data.replace(data.partition(":")[2].partition(":")[0] + ":", "", 1)
        real(source, where, fstype, flags, shorter)

    monkeypatch.setattr(syscalls, "mount", forgetful)
    with pytest.raises(MountFailedError, match="all the layers"):
        mounts.mount_overlay(trees(tmp_path / "t", 4), target, new_api=False)
    assert no_mounts_below(tmp_path)


@pytest.mark.skipif(IS_ROOT, reason="root may mount without a namespace")
@ways
def test_without_privilege_the_remedy_is_named(tmp_path, target, new_api):
    with pytest.raises(PermissionDeniedError, match="unshare -Urm"):
        mounts.mount_overlay(trees(tmp_path / "t", 2), target, new_api=new_api)


# --- unmounting


def mounted(tmp_path, target):
    mounts.mount_overlay(trees(tmp_path / "t", 2), target, userxattr=not IS_ROOT)
    return target


def refused(target):
    """Whom an unmount of ``target`` names; the mount must still be whole afterwards."""
    before = sorted(os.listdir(target))
    with pytest.raises(UnmountFailedError) as caught:
        mounts.unmount(target)
    assert sorted(os.listdir(target)) == before != []
    return caught.value.holder


@isolated
def test_what_is_not_mounted_cannot_be_unmounted(tmp_path):
    with pytest.raises(InvalidMountPointError):
        mounts.unmount(tmp_path)
    with pytest.raises(InvalidMountPointError):
        mounts.unmount(tmp_path / "missing")


@isolated
def test_a_symlink_to_a_mount_is_not_unmounted(tmp_path, target):
    mounted(tmp_path, target)
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(InvalidMountPointError):
        mounts.unmount(tmp_path / "link")
    assert mounts.is_mountpoint(target)


@isolated
@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("os.chdir(sys.argv[1])", "cwd"),
        ("f = open(sys.argv[1] + '/all')", "fd"),
        ("f = os.open(sys.argv[1], os.O_PATH)", "fd"),
        (
            "f = open(sys.argv[1] + '/all'); m = mmap.mmap(f.fileno(), 0, prot=1); f.close()",
            "fd|mapped file",  # Python keeps a duplicate of the descriptor
        ),
    ],
    ids=["cwd", "file", "directory", "mapping"],
)
def test_a_busy_mount_names_the_process_and_can_be_retried(tmp_path, target, code, how):
    mounted(tmp_path, target)
    with process(code, target) as child:
        holder = refused(target)
        assert holder.startswith(f"process {child.pid} (python"), holder
        assert any(word in holder for word in how.split("|")), holder
        child.kill()
        child.wait()
        mounts.unmount(target)
    assert not mounts.is_mountpoint(target)


@isolated
def test_a_mount_within_keeps_the_outer_one_busy(tmp_path, target):
    mounted(tmp_path, target)
    syscalls.mount("/dev/null", target / "all", flags=syscalls.MS_BIND)
    assert refused(target) == f"mount {target}/all nested"
    mounts.unmount(target / "all")
    mounts.unmount(target)
    assert not mounts.is_mountpoint(target)


@isolated
def test_a_mount_that_another_namespace_keeps_is_not_unmounted(tmp_path, target):
    mounted(tmp_path, target)
    with process("", unshare=("unshare", "-m", "--propagation", "private")) as child:
        assert mounts.other_namespaces(target) == [mounts.holders(target)[0]]
        holder = refused(target)
        assert holder.startswith(f"process {child.pid} (python")
        assert holder.endswith("in another mount namespace")
        child.kill()
        child.wait()
        mounts.unmount(target)
    assert mounts.other_namespaces(target) == []


# --- propagation


@isolated
def test_what_is_mounted_within_stays_in_this_namespace(tmp_path, target):
    shared = tmp_path
    syscalls.mount(shared, shared, flags=syscalls.MS_BIND)
    syscalls.mount(None, shared, flags=syscalls.MS_SHARED)
    for new_api in (True, False):
        mounts.mount_overlay(trees(tmp_path / f"t{new_api}", 2), target, new_api=new_api)
        entry = mounts.mount_at(target)
        assert (entry.shared, entry.master) == (0, 0)
        mounts.unmount(target)


@isolated
@ways
def test_a_peer_that_received_the_mount_loses_it_again(tmp_path, target, new_api):
    syscalls.mount(tmp_path, tmp_path, flags=syscalls.MS_BIND)
    syscalls.mount(None, tmp_path, flags=syscalls.MS_SHARED)
    with process("", unshare=("unshare", "-m", "--propagation", "unchanged")) as child:
        mounts.mount_overlay(trees(tmp_path / "t", 2), target, new_api=new_api)
        there = [e for e in mounts.mountinfo(child.pid) if e.target == os.fsencode(target)]
        assert len(there) == 1
        assert mounts.other_namespaces(target) == []
        assert mounts.unmount(target) is True
        assert not [e for e in mounts.mountinfo(child.pid) if e.target == os.fsencode(target)]


@isolated
@ways
def test_a_private_namespace_never_sees_the_mount(tmp_path, target, new_api):
    with process("", unshare=("unshare", "-m", "--propagation", "private")) as child:
        mounts.mount_overlay(trees(tmp_path / "t", 2), target, new_api=new_api)
        assert not [e for e in mounts.mountinfo(child.pid) if e.target == os.fsencode(target)]


@both_ways
def test_an_overlayfs_without_contexts_is_mounted_the_old_way(tmp_path, target, rootless):
    """There any parameter is taken, and only the mount as a whole fails, without a word why."""
    assert not mounts._is_legacy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mounts, "_is_legacy", lambda: True)
        layers = trees(tmp_path / "t", 3)
        mounts.mount_overlay(layers, target, userxattr=rootless, readonly=True)
        assert (target / "all").read_text() == "2"
        mounts.unmount(target)
        with pytest.raises(MountFailedError, match="has no lowerdir"):
            mounts.mount_overlay(layers, target, userxattr=rootless, readonly=True, new_api=True)
    assert no_mounts_below(target)
