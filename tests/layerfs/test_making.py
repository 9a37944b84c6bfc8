import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time

import pytest

from layerfs import following, making
from layerfs.errors import InvalidLayerPathError, LimitExceededError, PathError, StorageError
from layerfs.limits import Limits
from layerfs.staging import Operation
from layerfs.store import LayerFS

from .isolation import both_ways, needs_root
from .recipes import PLAIN, contents

#: What the merge of these layers was before a helper had a part in it.
GOLDEN = "sha256:adddc0505bd0c9cba5c2d228b140e1631b18ba050f7e8dc9957c1360c47e8878"
pytestmark = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="with one processor no helper is started"
)


def layer(number, size=40_000):
    """Return a layer of 200 files, 8 MB, with links, markers and attributes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:

        def put(name, kind=tarfile.REGTYPE, data=b"", **more):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.mtime = kind, len(data), 1_000_000_000 + number
            for key, value in more.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))

        for at in range(200):
            folder = f"d{at % 7}"
            if at < 7:
                put(folder, tarfile.DIRTYPE, mode=0o750 + number)
            put(f"{folder}/f{number}-{at}", data=bytes([at]) * (size + at), mode=0o640)
        put("d1/link", tarfile.SYMTYPE, linkname="../d2")
        put(f"d2/hard{number}", tarfile.LNKTYPE, linkname=f"d2/f{number}-2")
        put("d3/fifo", tarfile.FIFOTYPE)
        put("d4/é" + "n" * 200, data=b"x", pax_headers={"SCHILY.xattr.user.a": "b"})
        put(f"d5/.wh.f{number - 1}-5")
        put(f"d6/{'.wh..wh..opq' if number else 'x'}")
    return raw.getvalue()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def digests(root):
    with LayerFS.open(root) as store:
        return [store.add_layer(io.BytesIO(layer(n)), PLAIN).digest for n in range(2)]


@pytest.fixture
def started(monkeypatch):
    """The helpers that were started."""
    found = []
    make = making._Follower.__init__

    def recorded(self, *more):
        make(self, *more)
        found.append(self._process.pid)

    monkeypatch.setattr(making._Follower, "__init__", recorded)
    return found


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@both_ways
def test_a_large_layer_is_what_a_small_one_would_be(root, started, monkeypatch, rootless):  # noqa: ARG001 - for the decorator
    with LayerFS.open(root) as store:
        digests = [store.add_layer(io.BytesIO(layer(n)), PLAIN).digest for n in range(2)]
        with_helper = store.merge(digests)
        assert len(started) == 1
        assert store.verify() == []
        store.remove_layer(with_helper.digest)
        monkeypatch.setattr(making, "_LARGE", 1 << 40)
        assert store.merge(digests) == with_helper
        assert len(started) == 1
        assert store.check() == []
    assert all(map(gone, started))


@needs_root  # for the owners in it
def test_a_merged_layer_has_had_the_same_bytes_ever_since(digests, root):
    with LayerFS.open(root) as store:
        assert store.merge(digests).digest == GOLDEN


def test_the_tree_is_that_of_the_tar(root, digests, started):
    with LayerFS.open(root) as store:
        merged = store.merge(digests)
        blob = root / "blobs/sha256" / merged.digest[7:]
        data = blob.read_bytes()
        store.remove_layer(merged.digest)
        assert store.add_layer(io.BytesIO(data), PLAIN) == merged
        assert store.verify() == []
    assert started


def test_without_a_helper_a_large_layer_is_made_all_the_same(root, digests, monkeypatch, started):
    def refused(*_arguments, **_options):
        raise BlockingIOError("no more processes")

    with LayerFS.open(root) as store:
        expected = store.merge(digests)
        store.remove_layer(expected.digest)
        monkeypatch.setattr(subprocess, "Popen", refused)
        assert store.merge(digests) == expected
        assert store.verify() == []
    assert len(started) == 1


def test_what_the_helper_fails_with_is_told(root, digests, monkeypatch, started):
    monkeypatch.setattr(Operation, "new_tree", lambda self: self.path / "nowhere")
    with LayerFS.open(root) as store:
        before = contents(root)
        with pytest.raises(PathError, match="nowhere") as caught:
            store.merge(digests)
        assert caught.value.code == "path-error"
        assert contents(root) == before
    assert all(map(gone, started))
    assert started


def test_limits_hold_for_what_the_helper_extracts(root, digests, started):
    with LayerFS.open(root, limits=Limits(max_members=300)) as store:
        before = contents(root)
        with pytest.raises(LimitExceededError) as caught:
            store.merge(digests)
        assert caught.value.limit == "max_members=300"
        assert contents(root) == before
    assert all(map(gone, started))
    assert started


def test_a_helper_that_is_killed_is_told_of(root, digests, monkeypatch, started):
    finish = making._Follower.finish

    def killed(self, size):
        os.kill(started[0], signal.SIGKILL)
        return finish(self, size)

    monkeypatch.setattr(making._Follower, "finish", killed)
    with LayerFS.open(root) as store:
        before = contents(root)
        with pytest.raises(StorageError, match="SIGKILL"):
            store.merge(digests)
        assert contents(root) == before
    assert all(map(gone, started))


@pytest.mark.parametrize("error", [InvalidLayerPathError("late"), KeyboardInterrupt()])
def test_an_error_of_the_writer_ends_the_helper(root, digests, monkeypatch, started, error):
    def interrupted(_self, _size):
        raise error

    monkeypatch.setattr(making._Follower, "finish", interrupted)
    with LayerFS.open(root) as store:
        before = contents(root)
        with pytest.raises(type(error)):
            store.merge(digests)
        assert contents(root) == before
    assert all(map(gone, started))
    assert started


def test_the_helper_dies_with_its_parent(root, digests):
    code = f"""
import os, sys, time
from layerfs import making
from layerfs.store import LayerFS

def finish(self, size):
    print(self._process.pid, flush=True)
    time.sleep(600)

making._Follower.finish = finish
LayerFS.open({os.fspath(root)!r}).merge({digests!r})
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with parent:
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    deadline = time.monotonic() + 30
    while not gone(pid) and b") Z " not in _stat(pid):
        assert time.monotonic() < deadline, "the helper lives on"
        threading.Event().wait(0.01)
    with LayerFS.open(root) as store:
        assert store.check() == []
        assert contents(root)["staging"] == []


def _stat(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b") Z "


def test_a_growing_file_is_read_as_far_as_it_is_known(tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(b"0123456789")
    reading, writing = os.pipe()
    with path.open("rb") as file:
        growing = following.Growing(file.fileno(), reading)
        os.write(writing, following.told(3, last=False))
        assert growing.read(2) == b"01"
        assert growing.read(9) == b"2"
        os.write(writing, following.told(4, last=False) + following.told(8, last=True))
        assert growing.read(100) == b"34567"
        assert growing.read(100) == b""
    os.close(reading)
    os.close(writing)


def test_a_writer_that_goes_away_is_no_end_of_the_layer(tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(b"0123456789")
    reading, writing = os.pipe()
    with path.open("rb") as file:
        growing = following.Growing(file.fileno(), reading)
        os.write(writing, following.told(10, last=False))
        os.close(writing)
        assert growing.read(100) == b"0123456789"
        with pytest.raises(StorageError, match="gone"):
            growing.read(100)
    os.close(reading)
