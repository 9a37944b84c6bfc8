"""All that test_apply.py asks, asked of helper processes; and what is only theirs."""

import errno
import io
import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from layerfs import apply as engine
from layerfs import command, writers
from layerfs.errors import InvalidLayerPathError, LayerFSError, StorageError, ValidationError
from layerfs.tarstream import TarReader

from . import test_apply
from .extraction import (
    assert_passes_in_user_namespace,
    extract,
    extract_from,
    file,
    hardlink,
    kind,
    mode,
    names,
    reader,
    snapshot,
    symlink,
)
from .test_apply import *  # noqa: F403 - every test of it, once more


@pytest.fixture(autouse=True)
def from_the_start(monkeypatch):
    """Have even one entry made by helpers, two of them, on a machine of any size."""
    monkeypatch.setattr(engine, "_MANY", 1)
    monkeypatch.setattr(command, "are_possible", lambda: True)
    monkeypatch.setattr(writers, "_of_use", lambda: 2)


def test_all_of_this_holds_in_a_user_namespace():
    assert_passes_in_user_namespace(__file__)


def test_all_tests_of_the_engine_are_here():
    theirs = {name for name in vars(test_apply) if name.startswith("test_")}
    assert theirs <= set(globals())


def children():
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [line for line in found.splitlines() if "layerfs.writer" in line]


@pytest.mark.parametrize(("processors", "count"), [(1, 1), (2, 1), (3, 2), (64, 2)])
def test_there_is_a_helper_for_each_processor_but_one(processors, count, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    assert writers._of_use() == count


def test_a_layer_that_is_known_to_be_large_has_helpers_soon(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_MANY", 10_000)
    started = []
    start = engine._Applier._started
    monkeypatch.setattr(engine._Applier, "_started", lambda self: started.append(1) or start(self))
    for is_large, folder in ((False, "a"), (True, "b")):
        (tmp_path / folder).mkdir()
        archive = reader(*(file(f"{n}") for n in range(engine._SOME)))
        archive.is_large = is_large
        extract_from(archive, tmp_path / folder)
    assert len(started) == 1


def many(count=900):
    """A layer with everything that helpers make, of many directories, and links across them."""
    for n in range(count):
        name = f"d{n % 37}/e{n % 5}/{n}"
        before = f"d{(n - 1) % 37}/e{(n - 1) % 5}/{n - 1}"
        if n % 9 == 0:
            yield symlink(name, "../x", mtime_ns=n)
        elif n % 7 == 3:
            yield hardlink(name, before)
            yield hardlink(f"links/{n}", name)
            yield hardlink(f"links/again{n}", f"links/{n}")
        else:
            data = bytes([n % 251]) * (n * n % 40_000)
            yield file(name, data, mode=0o400 + n % 0o400, mtime_ns=n * 1001,
                       xattrs={"user.n": b"%d" % n} if n % 5 == 0 else None)  # fmt: skip
            if n % 50 == 1:
                yield file(name, b"again")


def described(root):
    """The tree without what differs from one extraction to the next: inodes and change times."""
    links = {}
    told = {}
    for name, (bits, uid, gid, count, mtime, _, inode, data, xattrs) in snapshot(root).items():
        first = links.setdefault(inode, name)
        told[name] = bits, uid, gid, count, mtime, first, data, xattrs
    return told


def test_the_tree_is_the_same_as_without_helpers(tmp_path, monkeypatch):
    report = extract(tmp_path / "with", *many())
    assert children() == []
    monkeypatch.setattr(engine, "_MANY", 10**9)
    assert extract(tmp_path / "without", *many()) == report
    assert described(tmp_path / "with") == described(tmp_path / "without")
    assert len(names(tmp_path / "with")) > 900


def test_more_and_larger_files_than_the_shared_memory_holds(root):
    sizes = [0, 1, writers.LARGEST - 1, writers.LARGEST, writers.LARGEST + 1, 3 * writers.LARGEST]
    content = {f"{n}-{size}": os.urandom(size) for n in range(4) for size in sizes}
    extract(root, *(file(name, data) for name, data in content.items()))
    assert {name: (root / name).read_bytes() for name in names(root)} == content


def test_modes_that_need_no_second_step_are_exact_and_those_that_do_as_well(root):
    modes = [0, 0o111, 0o644, 0o777, 0o4755, 0o2711, 0o1644]
    extract(root, *(file(f"{bits:o}", mode=bits) for bits in modes))
    assert {name: mode(root / name) for name in names(root)} == {f"{one:o}": one for one in modes}


def test_the_failure_that_comes_first_in_the_archive_is_the_one_that_is_told(root):
    # In two directories, so that each of the helpers meets one of them.
    bad = {"xattrs": {"system.posix_acl_access": b"no list"}}
    first = [file(f"{n % 2}/{n}") for n in range(300)]
    with pytest.raises(LayerFSError) as raised:
        extract(root, *first, file("0/first", **bad), file("1/second", **bad), *many(300))
    assert raised.value.path == "0/first"
    assert children() == []


def test_a_helpers_failure_is_told_before_damage_that_follows_it(root):
    root.mkdir()
    (root / "there").write_text("mine")
    data = b"".join([file("there"), file("fine"), b"no header" + bytes(600)])
    with pytest.raises(InvalidLayerPathError) as raised:
        extract_from(TarReader(io.BytesIO(data)), root)
    assert raised.value.path == "there"
    assert raised.value.errno == errno.EEXIST
    with pytest.raises(ValidationError):
        extract_from(TarReader(io.BytesIO(data[1024:])), root / "..")


def test_a_full_disk_is_told_with_the_path_of_the_file(root):
    # A limit on the size of files is inherited, and met where the file is written.
    script = """
import resource, sys
from pathlib import Path
from tests.layerfs.extraction import extract, file
from layerfs import apply, command, writers
from layerfs.errors import WriteFailedError
apply._MANY = 1
command.are_possible = lambda: True
writers._of_use = lambda: 2
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
start = writers.Writers.__init__
def limited(self, *args):
    start(self, *args)
    for helper in self._helpers:
        resource.prlimit(helper._process.pid, resource.RLIMIT_FSIZE, (1000, limit[1]))
writers.Writers.__init__ = limited
try:
    extract(Path(sys.argv[1]), file("small", bytes(900)), file("d/large", bytes(2000)))
except WriteFailedError as error:
    print(error.path, error.errno)
"""
    done = subprocess.run(
        [os.sys.executable, "-c", script, str(root)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert done.stdout.split() == ["d/large", str(errno.EFBIG)], done.stderr


def test_a_helper_that_is_killed_is_an_error_and_no_wait(root, monkeypatch):
    start = writers.Writers.__init__

    def started(self, *args):
        start(self, *args)
        for helper in self._helpers:
            os.kill(helper._process.pid, signal.SIGKILL)

    monkeypatch.setattr(writers.Writers, "__init__", started)
    with pytest.raises(StorageError, match="ended with status -9"):
        extract(root, *many(200))
    assert children() == []


def test_helpers_end_with_what_interrupts_the_extraction(root):
    class InterruptionError(Exception):
        pass

    source = reader(*many(300))

    class Cut:
        limits, chunks, read = source.limits, source.chunks, source.read
        read_into, is_large = source.read_into, False

        def __iter__(self):
            for count, member in enumerate(source):
                if count == 250:
                    raise InterruptionError
                yield member

    root.mkdir()
    before = os.listdir("/proc/self/fd")
    with pytest.raises(InterruptionError):
        extract_from(Cut(), root)
    assert children() == []
    assert os.listdir("/proc/self/fd") == before


def test_helpers_die_with_their_process(root):
    script = """
import os, signal, sys
from pathlib import Path
from tests.layerfs.extraction import extract
from tests.layerfs.test_writers import many
from layerfs import apply, command, writers
apply._MANY = 1
command.are_possible = lambda: True
writers._of_use = lambda: 2
drain = writers.Writers.drain
def killed(self):
    print(*(helper._process.pid for helper in self._helpers), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
writers.Writers.drain = killed
extract(Path(sys.argv[1]), *many(300))
"""
    with subprocess.Popen(
        [os.sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).resolve().parents[2],
    ) as process:  # fmt: skip
        told = process.stdout.read()  # to the end: the helpers have no part of this pipe
        assert process.wait() == -signal.SIGKILL
    pids = [int(pid) for pid in told.split()]
    assert len(pids) == 2
    for pid in pids:
        gone(pid)


def gone(pid):
    """Wait until a process that nobody of ours can wait for has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([fd], [], [], 20)[0], "the helper is still there"
    finally:
        os.close(fd)


def test_where_no_process_can_be_started_the_layer_is_extracted_all_the_same(root, monkeypatch):
    def refused(*_args, **_kwargs):
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(subprocess, "Popen", refused)
    before = os.listdir("/proc/self/fd")
    extract(root, *many(100))
    assert os.listdir("/proc/self/fd") == before
    assert kind(root / "d0" / "e0" / "0") == "symlink"
