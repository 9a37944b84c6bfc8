from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import pytest

from harness import census

LINE = (
    r"36 35 98:0 /mnt1 /mnt/a\040b\134 rw,noatime master:1 shared:2 - ext3 /dev/r\011t rw,errors=ro"
)


ROOT = os.path.dirname(os.path.dirname(census.__file__))
#: Says whether a namespace of another process is seen at all, in ours alone, and in that process's.
ELSEWHERE = """
import os
from harness import census
other = int(os.environ["OTHER"])
number = int(os.readlink(f"/proc/{other}/ns/mnt")[5:-1])
for within in (None, os.getpid(), other):
    print(number in {mount["namespace"] for mount in census.mounts(within)})
"""


def test_mountinfo_is_parsed_with_its_escapes_and_optional_fields():
    assert census._mount(LINE) == {
        "id": 36,
        "parent": 35,
        "root": "/mnt1",
        "target": "/mnt/a b\\",
        "options": "rw,noatime",
        "propagation": ["master:1", "shared:2"],
        "fstype": "ext3",
        "source": "/dev/r\tt",
        "super_options": "rw,errors=ro",
    }
    assert census._mount("1 0 0:1 / / rw - tmpfs  rw")["source"] == ""


def test_our_own_mounts_come_first_and_once():
    found = census.mounts()
    assert found[0]["namespace"] == 0
    own = [mount["id"] for mount in found if mount["namespace"] == 0]
    assert len(own) == len(set(own)) == len(census.mountinfo())


def test_a_process_is_seen_unless_it_is_ours_or_ignored():
    name = "a) strange (name"
    with subprocess.Popen(
        [name, "-c", "import sys; sys.stdin.read()", "x\ny"], executable=sys.executable,
        stdin=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            found = {row["pid"]: row for row in census.processes(frozenset(), None)}
            assert found[process.pid]["command"].startswith(f"{name} -c import sys")
            assert os.getpid() not in found
            assert os.getppid() not in found
            within = {row["pid"] for row in census.processes(frozenset(), os.getpid())}
            assert process.pid in within
            assert 1 not in within
            ignored = {row["pid"] for row in census.processes({process.pid}, os.getpid())}
            assert within - ignored == {process.pid}
        finally:
            process.stdin.close()


def test_kernel_threads_are_no_processes_of_anyone():
    assert "kthreadd" not in {row["name"] for row in census.processes(frozenset(), None)}


def test_a_namespace_of_a_process_of_others_is_none_of_ours(local_host):
    with local_host.remote.start(["unshare", "--mount", "sh", "-c", "echo up; cat"]) as channel:
        assert channel.read_line(20) == b"up"
        argv = [local_host.facts["python"], "-c", ELSEWHERE, "/proc/self"]
        told = local_host.run(argv, cwd=ROOT, env={"OTHER": str(channel.pid)}).stdout.split()
    assert told == [b"True", b"False", b"True"]


def test_files_are_told_by_kind_and_inode(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    kinds, inodes = census.files([str(tmp_path), str(tmp_path / "no such root")])
    assert kinds == {
        f"{tmp_path}/dir": "dir",
        f"{tmp_path}/dir/link": "symlink",
        f"{tmp_path}/fifo": "special",
        f"{tmp_path}/file": "file",
    }
    status = os.stat(tmp_path / "file")
    key = (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino)
    assert inodes[key] == f"{tmp_path}/file"


def test_a_mount_below_a_root_is_named_and_not_entered(local_host):
    root = local_host.tmp("root")
    with local_host.mount_tmpfs(f"{root}/mounted"):
        local_host.write(f"{root}/mounted/file", b"")
        assert local_host.ledger(root).files == {f"{root}/mounted": "dir"}
    local_host.remove(root)


def locks(root):
    _, inodes = census.files([root])
    found = census.locks([root], inodes)
    return {
        (lock["kind"], lock["mode"], lock["path"]) for lock in found if lock["pid"] == os.getpid()
    }


def test_locks_are_told_by_path_also_of_deleted_files(tmp_path):
    root = str(tmp_path)
    with open(tmp_path / "whole", "w") as whole, open(tmp_path / "range", "w") as ranged:
        assert locks(root) == set()
        fcntl.flock(whole, fcntl.LOCK_EX)
        fcntl.lockf(ranged, fcntl.LOCK_EX, 10, 5)
        assert locks(root) == {
            ("FLOCK", "WRITE", f"{root}/whole"),
            ("POSIX", "WRITE", f"{root}/range"),
        }
        assert locks(f"{root}/elsewhere") == set()
        os.remove(tmp_path / "whole")
        fcntl.lockf(ranged, fcntl.LOCK_UN)
        assert locks(root) == {("FLOCK", "WRITE", f"{root}/whole (deleted)")}
    assert locks(root) == set()


def test_descriptors_are_told_by_what_they_are(tmp_path):
    before = census.descriptors(os.getpid())
    read, write = os.pipe()
    with open(tmp_path / "file", "w"):
        more = list(census.descriptors(os.getpid()))
    os.close(read)
    os.close(write)
    for known in before:
        more.remove(known)
    assert more == [f"{tmp_path}/file", "pipe", "pipe"]
    assert census.descriptors(2**22 + 1) == []


def test_the_taint_is_that_of_the_kernel():
    with open("/proc/sys/kernel/tainted") as file:
        assert census.taint() == int(file.read())


def test_warnings_are_told_from_the_start_on_where_that_is_permitted():
    messages = census.Messages()
    if not messages.allowed:
        assert messages.warnings() is None
        pytest.skip("the kernel's log may not be read here")
    if os.geteuid() != 0:
        pytest.skip("needs root, to write into the kernel's log")
    with open("/dev/kmsg", "w") as log:
        log.write("<6>layerfs test: only information\n")
    with open("/dev/kmsg", "w") as log:
        log.write("<4>layerfs test: a warning\n")
    mine = [row for row in messages.warnings() if "layerfs test" in row[2]]
    assert [(level, text) for _, level, text in mine] == [(4, "layerfs test: a warning")]
    assert [row for row in messages.warnings() if "layerfs test" in row[2]] == mine


def test_loop_devices_in_use_are_told_with_their_file(tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(b"\0" * 1_000_000)
    done = subprocess.run(
        ["losetup", "--find", "--show", str(disk)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no loop device to be had: {done.stderr.strip()}")
    device = done.stdout.strip()
    try:
        assert f"{device.removeprefix('/dev/')}: {disk}" in census.devices()
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
