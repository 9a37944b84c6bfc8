import os
import shutil
import subprocess

import pytest

from layerfs import holders, mounts, syscalls

from .isolation import IS_ROOT, isolated, needs_root, process

MAP = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
fd = os.open(sys.argv[1] + '/file', os.O_RDONLY)
assert libc.mmap(None, 1, 1, 2, fd, 0) != ctypes.c_void_p(-1).value
os.close(fd)
"""


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "target"
    path.mkdir()
    return path


def mounted(tmp_path, target, source="overlay"):
    for name in ("low", "high"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "low" / "file").write_text("content")
    (tmp_path / "low" / "dir").mkdir(exist_ok=True)
    shutil.copy("/bin/sleep", tmp_path / "low" / "sleep")
    mounts.mount_overlay(
        [os.fspath(tmp_path / "high"), os.fspath(tmp_path / "low")],
        target,
        userxattr=not IS_ROOT,
        source=source,
    )
    return mounts.mount_at(target)


@isolated
def test_an_idle_mount_has_no_holder(tmp_path, target):
    assert holders.holders(mounted(tmp_path, target)) == []


@isolated
def test_each_way_of_a_process_is_named(tmp_path, target):
    entry = mounted(tmp_path, target)
    code = "os.chdir(sys.argv[1]); d = os.open('dir', os.O_RDONLY); os.dup2(d, 77)"
    with process(code, target) as child:
        (holder,) = holders.holders(entry)
    words = holder.removeprefix(f"process {child.pid} (").partition("): ")[2].split(", ")
    assert words[0] == "cwd"
    assert "fd 77" in words


@isolated
def test_a_running_program_is_named(tmp_path, target):
    entry = mounted(tmp_path, target)
    with subprocess.Popen([target / "sleep", "1000"]) as child:
        assert holders.holders(entry) == [f"process {child.pid} (sleep): exe"]
        child.kill()


@isolated
def test_a_file_that_is_only_mapped_is_named(tmp_path, target):
    entry = mounted(tmp_path, target)
    with process(MAP, target) as child:
        (holder,) = holders.holders(entry)
        assert holder.startswith(f"process {child.pid} (")
        assert holder.endswith("): mapped file")


@isolated
def test_a_process_in_a_chroot_is_named(tmp_path, target):
    entry = mounted(tmp_path, target)
    with process("os.chroot(sys.argv[1]); os.chdir('/dir')", target) as child:
        (holder,) = holders.holders(entry)
        assert holder.startswith(f"process {child.pid} (")
        assert holder.endswith("): cwd, root")


@isolated
def test_users_of_another_mount_of_the_same_layers_are_not_named(tmp_path, target):
    entry = mounted(tmp_path, target)
    other = tmp_path / "other"
    other.mkdir()
    mounted(tmp_path, other)
    with process("os.chdir(sys.argv[1]); f = open('file')", other):
        assert holders.holders(entry) == []


@isolated
@needs_root
def test_a_loop_device_is_named(tmp_path, target):
    entry = mounted(tmp_path, target)
    loop = shutil.which("losetup")
    if loop is None or not os.path.exists("/dev/loop-control"):
        pytest.skip("no loop devices here")
    file = target / "file"
    made = subprocess.run(
        [loop, "--find", "--show", "--read-only", file],
        check=False,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"no loop device can be made here: {made.stderr.strip()}")
    device = made.stdout.strip()
    try:
        assert holders.holders(entry) == [f"{os.path.basename(device)}: {file}"]
    finally:
        subprocess.run([loop, "--detach", device], check=True)


@isolated
def test_a_copy_is_lasting_unless_the_unmount_propagates_to_it(tmp_path, target):
    syscalls.mount(tmp_path, tmp_path, flags=syscalls.MS_BIND)
    syscalls.mount(None, tmp_path, flags=syscalls.MS_SHARED)
    entry = mounted(tmp_path, target)
    for propagation, lasting in [("private", True), ("slave", False), ("unchanged", False)]:
        with process("", unshare=("unshare", "-m", "--propagation", propagation)) as child:
            (copy,) = holders.copies(entry)
            assert (copy.pid, copy.lasting) == (child.pid, lasting)
            child.kill()
            child.wait()


@isolated
def test_a_copy_in_a_slave_of_a_slave_is_not_lasting(tmp_path, target):
    syscalls.mount(tmp_path, tmp_path, flags=syscalls.MS_BIND)
    syscalls.mount(None, tmp_path, flags=syscalls.MS_SHARED)
    entry = mounted(tmp_path, target)
    # A slave that is shared again, with a slave of its own: all in another namespace.
    script = (
        "mount --make-rslave / && mount --make-rshared / && "
        "exec unshare -m --propagation slave sh -c 'echo ready; read line'"
    )
    with subprocess.Popen(
        ["unshare", "-m", "--propagation", "unchanged", "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout.readline() == "ready\n"
        assert [copy.lasting for copy in holders.copies(entry)] == [False]
        mounts.unmount(target)
        there = mounts.mountinfo(child.pid)
        assert os.fsencode(target) not in [found.target for found in there]
        child.communicate("\n")


@isolated
def test_a_mount_is_found_in_any_namespace_by_its_source(tmp_path, target):
    assert holders.named_copies(b"layerfs:here") == []
    mounted(tmp_path, target, "layerfs:here")
    with process("", unshare=("unshare", "-m")) as child:
        syscalls.umount2(target)
        (holder,) = holders.named_copies(b"layerfs:here")
        assert holder.startswith(f"process {child.pid} (")
        assert holders.named_copies(b"layerfs:her") == []
        child.kill()
        child.wait()
    assert holders.named_copies(b"layerfs:here") == []
