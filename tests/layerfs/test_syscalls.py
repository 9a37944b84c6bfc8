"""The system calls do what their pages say: real files, and real mounts in a private namespace."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from layerfs import syscalls
from layerfs.syscalls import (
    AT_FDCWD,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    mount_of,
    openat2,
    renameat2,
)

ROOT = Path(__file__).resolve().parents[2]
PATH = os.O_PATH


@pytest.fixture
def tree(tmp_path):
    """A descriptor of ``root``, with a secret beside it and links that lead there."""
    (tmp_path / "secret").write_text("outside")
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "secret").write_text("inside")
    (root / "absolute").symlink_to("/secret")
    (root / "d/up").symlink_to("../../../secret")
    (root / "magic").symlink_to("/proc/self/cwd")
    fd = os.open(root, os.O_RDONLY)
    yield fd
    os.close(fd)


def read(dir_fd, path, resolve):
    fd = openat2(dir_fd, path, os.O_RDONLY, 0, resolve)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "path", [b"absolute", b"d/up", b"/secret", b"../../secret", b"d/../secret"]
)
def test_in_root_every_way_out_leads_back_in(tree, path):
    assert read(tree, path, RESOLVE_IN_ROOT) == b"inside"


@pytest.mark.parametrize(
    ("path", "resolve", "number"),
    [
        (b"absolute", RESOLVE_NO_SYMLINKS, errno.ELOOP),
        (b"d/up", RESOLVE_BENEATH, errno.EXDEV),
        (b"../secret", RESOLVE_BENEATH, errno.EXDEV),
        (b"nowhere", RESOLVE_IN_ROOT, errno.ENOENT),
        (b"secret/x", RESOLVE_IN_ROOT, errno.ENOTDIR),
        (b"/proc/self/root", RESOLVE_NO_XDEV, errno.EXDEV),
        (b"/proc/self/exe", RESOLVE_NO_MAGICLINKS, errno.ELOOP),
    ],
)
def test_a_forbidden_way_is_an_error_with_number_and_name(tree, path, resolve, number):
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at
        openat2(tree, path, os.O_RDONLY, 0, resolve)
    assert (caught.value.errno, caught.value.filename) == (number, path)


def test_what_is_opened_is_created_with_its_mode_and_closed_on_exec(tree):
    fd = openat2(tree, b"new", os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600, RESOLVE_IN_ROOT)
    try:
        assert not os.get_inheritable(fd)
        assert os.fstat(fd).st_mode & 0o777 == 0o600
    finally:
        os.close(fd)
    with pytest.raises(FileExistsError):
        openat2(tree, b"new", os.O_CREAT | os.O_EXCL, 0o600, RESOLVE_IN_ROOT)


def test_renaming_can_refuse_to_replace(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError) as caught:
        renameat2(AT_FDCWD, tmp_path / "a", AT_FDCWD, tmp_path / "b", RENAME_NOREPLACE)
    assert (caught.value.filename, caught.value.filename2) == (tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "b"
    renameat2(AT_FDCWD, tmp_path / "a", AT_FDCWD, tmp_path / "c", RENAME_NOREPLACE)
    assert (tmp_path / "c").read_text() == "a"


def test_renaming_can_exchange_relative_to_descriptors(tree):
    renameat2(tree, b"d", tree, b"secret", RENAME_EXCHANGE)
    assert read(tree, b"d", 0) == b"inside"
    with pytest.raises(FileNotFoundError):
        renameat2(tree, b"d", tree, b"nowhere", RENAME_EXCHANGE)


def test_a_file_system_is_synced_and_a_bad_descriptor_is_told(tree):
    syscalls.syncfs(tree)
    fd = os.open("/", os.O_PATH)
    os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        syscalls.syncfs(fd)


def test_a_mount_is_known_by_its_id_and_root(tmp_path):
    here, is_root = mount_of(AT_FDCWD, tmp_path)
    assert not is_root
    assert mount_of(AT_FDCWD, "/proc")[1]
    assert mount_of(AT_FDCWD, "/proc")[0] != here
    with open("/proc/self/mountinfo") as mounts:
        assert str(here) in [line.split()[0] for line in mounts]
    with pytest.raises(FileNotFoundError):
        mount_of(AT_FDCWD, tmp_path / "nowhere")


def test_an_unknown_file_system_is_told(tmp_path):
    del tmp_path
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at
        syscalls.fsopen("nosuchfs")
    # Without CAP_SYS_ADMIN the kernel does not even look.
    assert caught.value.errno in {errno.ENODEV, errno.EPERM}


def privately(script, *arguments):
    """Run a script with its own mounts, as root of a user namespace when not root; its output."""
    inside = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    done = subprocess.run(
        [*inside, sys.executable, "-c", "import os, sys\nfrom layerfs.syscalls import *\n" + script,
         *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.splitlines()


OVERLAY = """
os.chdir(sys.argv[1])
for name in ("low,er:a", "up\\\\per", "work", "merged"):
    os.mkdir(name)
open("low,er:a/f", "w").close()
"""


def test_an_overlay_is_mounted_by_the_new_calls_without_escaping(tmp_path):
    script = (
        OVERLAY
        + """
context = fsopen("overlay")
fsconfig_set_string(context, "lowerdir+", "low,er:a")
fsconfig_set_string(context, "upperdir", b"up\\\\\\\\per")
fsconfig_set_string(context, "workdir", "work")
fsconfig_set_flag(context, "userxattr")
fsconfig_create(context)
detached = fsmount(context, MOUNT_ATTR_NODEV)
mount_setattr(detached, "", AT_EMPTY_PATH, attr_set=MOUNT_ATTR_RDONLY, propagation=MS_PRIVATE)
assert not mount_of(AT_FDCWD, "merged")[1]
move_mount(detached, "", AT_FDCWD, "merged")
assert mount_of(AT_FDCWD, "merged") == mount_of(detached, "", AT_EMPTY_PATH)
os.close(detached)
print(os.listdir("merged"), context_log(context))
try:
    open("merged/g", "w")
except OSError as error:
    print(error.errno)
copy = open_tree(AT_FDCWD, "merged", OPEN_TREE_CLONE)
umount2("merged")
os.close(os.open("f", os.O_RDONLY, dir_fd=copy))
print(mount_of(AT_FDCWD, "merged")[1], os.listdir("merged"))
"""
    )
    assert privately(script, tmp_path) == ["['f'] []", str(errno.EROFS), "False []"]


def test_the_kernels_own_words_are_read_from_the_context_and_once_only(tmp_path):
    script = (
        OVERLAY
        + """
context = fsopen("overlay")
try:
    fsconfig_set_string(context, "nosuch", "value")
except OSError as error:
    print(error.errno, error.filename)
for message in context_log(context):
    print(message)
print(context_log(context))
"""
    )
    assert privately(script, tmp_path) == [
        f"{errno.EINVAL} value", "e overlay: Unknown parameter 'nosuch'", "[]",
    ]  # fmt: skip


def test_the_old_call_binds_changes_propagation_and_unmounts(tmp_path):
    script = (
        OVERLAY
        + """
mount("low,er:a", "merged", flags=MS_BIND)
mount(None, "merged", flags=MS_PRIVATE)
mount("none", "work", "tmpfs", MS_NODEV, "size=1m,mode=700")
print(os.listdir("merged"), os.statvfs("work").f_blocks * os.statvfs("work").f_frsize)
os.symlink("merged", "link")
for target in ("link", "work", "merged", "merged"):
    try:
        umount2(target)
    except OSError as error:
        print(error.errno, error.filename)
"""
    )
    assert privately(script, tmp_path) == [
        "['f'] 1048576", f"{errno.EINVAL} link", f"{errno.EINVAL} merged",
    ]  # fmt: skip


def test_namespaces_are_left_and_entered_again(tmp_path):
    script = """
before = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY)
unshare(CLONE_NEWNS)
mount(None, "/", flags=MS_REC | MS_PRIVATE)
mount("none", sys.argv[1], "tmpfs")
print(mount_of(AT_FDCWD, sys.argv[1])[1])
setns(before, CLONE_NEWNS)
print(mount_of(AT_FDCWD, sys.argv[1])[1])
try:
    setns(before, CLONE_NEWUTS)
except OSError as error:
    print(error.errno)
"""
    assert privately(script, tmp_path) == ["True", "False", str(errno.EINVAL)]
