import errno
import os
from pathlib import Path

import pytest

from layerfs import mounts, syscalls
from layerfs.backends import probing
from layerfs.errors import InvalidOverlayError, PermissionDeniedError
from tests.layerfs.isolation import IS_ROOT, both_ways, isolated


def refusing(name, error, wanted=lambda *_: True):
    """A function of ``os`` that fails as it does where the kernel or file system cannot do it."""
    real = getattr(os, name)

    def refuse(*args, **kwargs):
        if wanted(*args):
            raise OSError(error, os.strerror(error))
        return real(*args, **kwargs)

    return refuse


def in_a_view(path, *_):
    return os.fsdecode(path).startswith("/proc/self/fd/")


def below(path):
    return [e.target for e in mounts.mountinfo() if e.target.startswith(os.fsencode(path))]


@both_ways
def test_the_marks_that_this_user_can_make_are_chosen(tmp_path, rootless):
    features = probing.probe(tmp_path)
    assert features.userxattr is rootless
    assert features.squash_ids is rootless
    assert features.drop_privileged_xattrs is rootless
    assert features.max_layers == 500
    assert features.mount_lacks == ""
    assert features.upper_lacks == ""


@isolated
def test_nothing_is_left_behind(tmp_path):
    descriptors = os.listdir("/proc/self/fd")
    probing.probe(tmp_path)
    assert os.listdir(tmp_path) == ["staging"]
    assert os.listdir(tmp_path / "staging") == []
    assert below(tmp_path) == []
    assert os.listdir("/proc/self/fd") == descriptors


@isolated
def test_an_old_kernel_is_found_to_be_one(tmp_path, monkeypatch):
    def missing(fstype):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), fstype)

    monkeypatch.setattr(syscalls, "fsopen", missing)
    features = probing.probe(tmp_path)
    assert (features.new_mount_api, features.mount_lacks, features.upper_lacks) == (False, "", "")
    assert os.listdir(tmp_path / "staging") == []
    assert below(tmp_path) == []


@pytest.mark.skipif(IS_ROOT, reason="root may mount without a namespace")
def test_without_privilege_layers_can_be_stored_but_not_mounted(tmp_path):
    features = probing.probe(tmp_path)
    assert features.userxattr
    assert "unshare -Urm" in features.mount_lacks
    assert features.upper_lacks == features.mount_lacks


@isolated
def test_an_overlay_cannot_be_the_upper_of_another(tmp_path):
    for name in ("low", "up", "work", "merged"):
        (tmp_path / name).mkdir()
    merged = tmp_path / "merged"
    mounts.mount_overlay(
        [os.fspath(tmp_path / "low")],
        merged,
        upper=os.fspath(tmp_path / "up"),
        work=os.fspath(tmp_path / "work"),
        userxattr=not IS_ROOT,
    )
    try:
        features = probing.probe(merged)
    except InvalidOverlayError as error:
        assert "whiteouts" in error.message or "attributes" in error.message  # noqa: PT017
    else:
        assert features.upper_lacks
    assert os.listdir(merged / "staging") == []


def test_a_file_system_without_whiteouts_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "mknod", refusing("mknod", errno.EPERM))
    with pytest.raises(InvalidOverlayError, match="no whiteouts"):
        probing.probe(tmp_path)
    assert os.listdir(tmp_path / "staging") == []


@isolated
def test_a_file_system_without_attributes_is_refused(tmp_path):
    syscalls.mount("none", tmp_path, "ramfs")
    with pytest.raises(
        InvalidOverlayError, match=r"\(ramfs\) has no extended attributes"
    ) as caught:
        probing.probe(tmp_path)
    assert caught.value.path == os.fspath(tmp_path)
    assert os.listdir(tmp_path / "staging") == []


@pytest.mark.parametrize(
    ("twin", "remedy"),
    [(b"A-NAME", "differ in case alone"), (b"e\xcc\x81", "differ in Unicode normalization alone")],
)
def test_a_file_system_that_takes_two_names_for_one_is_refused(tmp_path, monkeypatch, twin, remedy):
    real = os.path.lexists
    monkeypatch.setattr(
        os.path, "lexists", lambda path: os.path.basename(path) == twin or real(path)
    )
    with pytest.raises(InvalidOverlayError, match=remedy):
        probing.probe(tmp_path)
    assert os.listdir(tmp_path / "staging") == []


@isolated
def test_without_whiteouts_by_rename_there_are_no_writable_views(tmp_path, monkeypatch):
    def whiteouts(*_):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(probing, "renameat2", whiteouts)
    assert probing.probe(tmp_path).upper_lacks == ""  # overlayfs itself is asked first
    monkeypatch.setattr(os, "rename", refusing("rename", errno.EINVAL, in_a_view))
    features = probing.probe(tmp_path)
    assert "cannot be an upperdir: it has no RENAME_WHITEOUT" in features.upper_lacks
    assert features.upper_lacks.endswith("read-only stacks work here")
    assert features.mount_lacks == ""
    assert os.listdir(tmp_path / "staging") == []


@isolated
def test_another_failure_of_a_writable_view_is_told_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "rename", refusing("rename", errno.EXDEV, in_a_view))
    assert "view fails (Invalid cross-device link)" in probing.probe(tmp_path).upper_lacks


@pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "store").mkdir(mode=0o500)
    with pytest.raises(PermissionDeniedError):
        probing.probe(tmp_path / "store")


@both_ways
def test_the_environment_is_the_same_until_something_changes(tmp_path, rootless):
    before = probing.environment(tmp_path)
    assert probing.environment(tmp_path) == before
    assert before.startswith(mounts.boot_id())
    if not rootless and IS_ROOT:
        syscalls.mount("none", tmp_path, "tmpfs", data="mode=755")
        assert probing.environment(tmp_path) != before
        syscalls.umount2(tmp_path)
        assert probing.environment(tmp_path) == before
        before = probing.environment(Path("/"))
        os.setresuid(1000, 1000, 1000)
        assert probing.environment(Path("/")) != before
