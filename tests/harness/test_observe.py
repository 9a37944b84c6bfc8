from __future__ import annotations

import os
import threading
import time

import pytest

from harness.errors import ObserverError, RemoteTimeoutError
from harness.ledger import difference
from harness.local_remote import LocalRemote
from harness.observe import Host
from harness.tree import Node, Tree

NAME = os.fsdecode(b"\xff,:\\ \n")


@pytest.fixture
def place(local_host):
    path = local_host.tmp("place")
    yield path
    local_host.remove(path)


def settled(host, before, path):
    """Wait until nothing but ``path`` is different; what was killed is gone only a moment later."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if all(path in line for line in difference(before, host.ledger())):
            return True
    return False


def test_a_tree_is_exact(local_host, place):
    local_host.write(f"{place}/{NAME}", b"content")
    local_host.call("chmod", f"{place}/{NAME}", 0o4751)
    local_host.call("utime", f"{place}/{NAME}", ns=(1, 1_234_567_890_123_456_789))
    capability = bytes.fromhex("0100000200200000" + "00" * 12)
    local_host.call("setxattr", f"{place}/{NAME}", "security.capability", capability)
    local_host.mkdir(f"{place}/d", 0o700)
    local_host.call("link", f"{place}/{NAME}", f"{place}/d/hard")
    local_host.call("symlink", "/no/where", f"{place}/soft")
    local_host.call("mknod", f"{place}/white", 0o20000, 0)
    found = local_host.tree(place)
    digest = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    file = Node(
        "file", 0o4751, 0, 0, 1_234_567_890_123_456_789, 7, digest,
        xattrs=(("security.capability", capability),),
        links=("d/hard", NAME),
    )  # fmt: skip
    assert found == Tree(
        {
            "d": Node("dir", 0o700),
            "d/hard": file,
            "soft": Node("symlink", 0o777, target="/no/where"),
            "white": Node("char", 0, rdev=(0, 0)),
            NAME: file,
        }
    )
    assert found["."].kind == "dir"
    assert local_host.node(f"{place}/soft").target == "/no/where"


def test_one_look_at_thousands_of_files_takes_a_moment(local_host, place):
    script = f"cd {place} && seq 1 4000 | xargs touch"
    local_host.run(["sh", "-c", script])
    found = local_host.tree(place, timeout=10)
    assert len(found) == 4001


def test_an_overlay_is_seen_merged_and_without_its_own_xattrs(local_host, place):
    for name in ("lower/d", "lower/old", "upper/d", "work", "merged"):
        local_host.mkdir(f"{place}/{name}")
    local_host.write(f"{place}/lower/d/hidden", b"")
    namespace = "trusted" if local_host.facts["trusted_xattrs"] else "user"
    local_host.call("setxattr", f"{place}/upper/d", f"{namespace}.overlay.opaque", b"y")
    options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"
    if namespace == "user":
        options += ",userxattr"
    argv = ["mount", "-t", "overlay", "-o", options, "overlay", f"{place}/merged"]
    assert local_host.run(argv).stderr == b""
    try:
        assert set(local_host.tree(f"{place}/merged")) == {".", "d", "old"}
        assert local_host.tree(f"{place}/merged")["d"].xattrs == ()
        assert [m.fstype for m in local_host.mounts() if m.target == f"{place}/merged"] == [
            "overlay"
        ]
    finally:
        local_host.run(["umount", f"{place}/merged"])


def test_files_of_any_size_go_in_and_out(local_host, place):
    for data in (b"", b"x", os.urandom(9_000_000)):
        assert local_host.write(f"{place}/file", data) == f"{place}/file"
        assert local_host.read(f"{place}/file") == data
    local_host.write(f"{place}/file", b"!!", offset=1)
    assert local_host.read(f"{place}/file")[:4] == data[:1] + b"!!" + data[3:4]
    assert local_host.put(b"put", f"{place}/put") == f"{place}/put"
    assert local_host.listdir(place) == ["file", "put"]


def test_what_the_host_refuses_is_an_os_error_as_if_it_were_here(local_host, place):
    with pytest.raises(FileNotFoundError) as caught:
        local_host.tree(f"{place}/none")
    assert caught.value.filename == f"{place}/none"
    with pytest.raises(NotADirectoryError):
        local_host.write("/etc/passwd/x", b"")
    with pytest.raises(ObserverError, match="system is not one of access, chmod"):
        local_host.call("system", "id")


def test_directories_for_cases_are_fresh(local_host):
    one, two = local_host.tmp("case"), local_host.tmp("case")
    assert one != two
    assert local_host.listdir(one) == []
    for path in (one, two):
        local_host.remove(path)
        assert not local_host.exists(path)


def test_the_ledger_of_an_idle_host_does_not_change(local_host):
    before = local_host.ledger()
    local_host.run(["true"])
    assert difference(before, local_host.ledger()) == []
    assert before.processes == frozenset()


def test_the_ledger_finds_what_a_command_leaves_behind(local_host, place):
    before = local_host.ledger()
    script = (
        'flock "$0/lock" sh -c "echo \\$\\$ > $0/pid && exec sleep 1000" >/dev/null 2>&1 &'
        'mkdir "$0/m"; mount -t tmpfs none "$0/m"; while ! test -s "$0/pid"; do sleep 0.01; done'
    )
    local_host.run(["sh", "-c", script, place], timeout=10)
    lines = difference(before, local_host.ledger())
    pid = int(local_host.read(f"{place}/pid"))
    local_host.run(["umount", f"{place}/m"])
    local_host.run(["kill", str(pid)])
    assert settled(local_host, before, place)
    assert f"left: mount of tmpfs (none) on '{place}/m'" in lines
    assert f"left: process {pid} (sleep 1000)" in lines
    assert f"left: dir '{place}/m'" in lines
    assert [line for line in lines if line.startswith("left: lock FLOCK WRITE") and place in line]


def test_a_mount_in_another_namespace_is_found(local_host, place):
    before = local_host.ledger()
    script = f"mount -t tmpfs none {place} && echo up && exec cat"
    with local_host.remote.start(["unshare", "-m", "sh", "-c", script]) as channel:
        assert channel.read_line(10) == b"up"
        new = local_host.ledger().mounts - before.mounts
        assert {m.namespace for m in new if m.target == place} - {0}
        assert place not in {m.target for m in local_host.mounts()}
    assert difference(before, local_host.ledger()) == []


def test_descriptors_of_a_process_are_told_when_asked_for(local_host, place):
    with local_host.hold(place, "fd") as held:
        told = local_host.ledger(descriptors_of=[held.pid]).descriptors
    assert place in told[held.pid]


@pytest.mark.parametrize("how", ["cwd", "fd"])
def test_a_held_mount_is_busy_until_it_is_let_go(local_host, place, how):
    local_host.mkdir(f"{place}/m")
    local_host.run(["mount", "-t", "tmpfs", "none", f"{place}/m"])
    with local_host.hold(f"{place}/m", how) as held:
        assert (held.path, held.how) == (f"{place}/m", how)
        assert local_host.exists(f"/proc/{held.pid}")
        assert local_host.run(["umount", f"{place}/m"]).status != 0
    assert not local_host.exists(f"/proc/{held.pid}")
    assert local_host.run(["umount", f"{place}/m"]).status == 0


def test_a_copy_of_a_mount_is_held_in_another_namespace(local_host, place):
    before = local_host.ledger()
    with local_host.mount_tmpfs(f"{place}/m"), local_host.hold(f"{place}/m", "namespace"):
        copies = {m.namespace for m in local_host.ledger().mounts if m.target == f"{place}/m"}
        assert len(copies) == 2
    assert difference(before, local_host.ledger()) == []


def test_what_cannot_be_held_is_told(local_host, place):
    with (
        pytest.raises(OSError, match=r"cannot hold .*/none by cwd: .*can't cd"),
        local_host.hold(f"{place}/none"),
    ):
        pass


def test_a_small_disk_is_full_soon_and_gone_afterwards(local_host, place):
    with local_host.mount_tmpfs(f"{place}/small", "64k", inodes=8) as small:
        assert local_host.disk(small)["size"] == 65536
        assert local_host.disk(small)["inodes"] == 8
        with pytest.raises(OSError, match="No space left on device"):
            local_host.write(f"{small}/big", b"x" * 100_000)
    assert not local_host.exists(f"{place}/small")


def test_a_canary_that_nobody_touches_is_removed(local_host):
    with local_host.canary() as outside:
        assert local_host.read(outside.symlink) != b""
        assert set(local_host.tree(outside.path)) == {
            ".", "file", "hardlink", "directory", "directory/below", "empty", "symlink",
        }  # fmt: skip
        local_host.run(["true"])
    assert not local_host.exists(outside.path)


@pytest.mark.parametrize(
    ("touch", "what"),
    [
        ("echo x >> $0/file", "'file': mtime_ns was"),
        ("chmod 640 $0/file", "'file': ctime_ns was"),
        ("chmod 777 $0/directory", "'directory': mode was 488, is 511"),
        ("touch -h $0/symlink", "'symlink': mtime_ns was"),
        ("rm $0/directory/below", "'directory/below' has gone"),
        ("mkdir $0/new", "'new' is new: a dir"),
        ("cat $0/directory/below", "'directory/below': atime_ns was"),
        ("ls $0/directory", "'directory': atime_ns was"),
        ("rm -r $0/*; touch $0/file", "'directory' has gone"),
    ],
)
def test_a_canary_that_is_touched_fails_the_case(local_host, touch, what):
    with pytest.raises(AssertionError, match="outside of the store was touched") as caught:  # noqa: SIM117
        with local_host.canary() as outside:
            assert local_host.run(["sh", "-c", touch, outside.path]).status == 0
    assert what in str(caught.value)
    assert not local_host.exists(outside.path)


def test_a_canary_is_looked_at_also_when_the_case_fails(local_host):
    with pytest.raises(AssertionError, match="was touched") as caught:  # noqa: PT012, SIM117
        with local_host.canary() as outside:
            local_host.write(outside.file, b"changed")
            raise KeyError("the case's own")
    assert isinstance(caught.value.__context__, KeyError)
    with pytest.raises(KeyError), local_host.canary():
        raise KeyError("alone")


def test_threads_may_look_at_the_same_time(local_host, place):
    found = []

    def look(number):
        for _ in range(20):
            local_host.write(f"{place}/{number}", b"%d" % number)
            found.append(local_host.read(f"{place}/{number}") == b"%d" % number)

    threads = [threading.Thread(target=look, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 120


@pytest.fixture
def fragile_host():
    with LocalRemote() as remote:
        yield Host(remote)


def test_an_observer_that_hangs_is_replaced(fragile_host):
    assert fragile_host.exists("/")
    pid = fragile_host._ask("ping")
    fragile_host.run(["kill", "-STOP", str(pid)])
    with pytest.raises(RemoteTimeoutError, match=r"the observer did not answer 'tree' in 0\.3 s"):
        fragile_host.tree("/proc/self", timeout=0.3)
    assert fragile_host.exists("/")
    assert fragile_host._ask("ping") != pid


def test_an_observer_that_dies_is_told_and_replaced(fragile_host):
    fragile_host.run(["kill", "-KILL", str(fragile_host._ask("ping"))])
    with pytest.raises(ObserverError, match="the observer died at 'exists'"):
        fragile_host.exists("/")
    assert fragile_host.exists("/")


def test_the_observer_leaves_no_file_on_the_host(fragile_host):
    assert set(fragile_host.listdir(fragile_host.workdir)) == {"home", "tmp"}


def test_an_interrupted_look_does_not_answer_the_next(fragile_host, monkeypatch):
    assert fragile_host.exists("/")

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fragile_host._channel, "read_line", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fragile_host.tree(fragile_host.workdir)
    assert fragile_host.exists("/") is True
