import errno
import os
import threading
from functools import partial

import pytest

from layerfs import syscalls
from layerfs.errors import StorageError
from layerfs.zfs import ZfsFailure
from layerfs.zfs.pipes import receiving, sending

MUCH = bytes(range(256)) * (1 << 14)


class End:
    """The other end of the pipe: writes and reads what a test says; no ZFS is needed for that."""

    def __init__(self, *, data=b"", most=None, fails=None):
        self.data, self.most, self.fails = data, most, fails
        self.received = b""
        self.asked = ()

    def send(self, snapshot, fd, from_=None):
        self.asked = snapshot, from_
        self.others = others_of_the_pipe(fd)
        left = memoryview(self.data)
        try:
            while left:
                left = left[os.write(fd, left) :]
        except BrokenPipeError as error:
            self.broken = True
            raise ZfsFailure(errno.EPIPE, operation="send", name=snapshot) from error
        self.fail(snapshot)

    def receive(self, snapshot, fd, properties=(), origin=None):
        self.asked = snapshot, properties, origin
        self.others = others_of_the_pipe(fd)
        while self.most is None or len(self.received) < self.most:
            data = os.read(fd, 1 << 16)
            if not data:
                break
            self.received += data
        self.fail(snapshot)

    def fail(self, snapshot):
        if self.fails:
            raise ZfsFailure(self.fails, operation="x", name=snapshot)


def others_of_the_pipe(fd):
    """Return the descriptors of a pipe, besides ``fd``, that the calling thread has."""
    table = f"/proc/self/task/{threading.get_native_id()}/fd"
    pipe = os.readlink(f"{table}/{fd}")
    shown = [(one, f"{table}/{one}") for one in os.listdir(table) if one != str(fd)]
    return [one for one, path in shown if os.path.exists(path) and os.readlink(path) == pipe]


@pytest.fixture(autouse=True)
def _nothing_left():
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before
    assert [one for one in threading.enumerate() if one.name == "layerfs-zfs-stream"] == []


def test_a_stream_is_sent_in_large_pieces():
    zfs = End(data=MUCH)
    with sending(zfs, "p/a@s", "p/b@s") as read:
        pieces = list(iter(partial(read, 1 << 20), b""))
    assert b"".join(pieces) == MUCH
    assert [len(one) for one in pieces] == [1 << 20] * 4
    assert zfs.asked == ("p/a@s", "p/b@s")


def fail(where, before=lambda _: None):
    """Use a pipe, and fail in the block."""
    with where as end:
        before(end)
        raise KeyError


def test_a_send_that_fails_is_told_at_the_end():
    with (
        pytest.raises(ZfsFailure, match="EIO"),
        sending(End(data=b"part", fails=errno.EIO), "p/a@s", None) as read,
    ):
        assert read(9) + read(9) == b"part"


def test_a_send_that_nobody_reads_is_ended():
    zfs = End(data=MUCH)
    with pytest.raises(KeyError):
        fail(sending(zfs, "p/a@s", None), lambda read: read(1))
    assert zfs.broken


def test_a_stream_is_received_piece_by_piece():
    zfs = End()
    with receiving(zfs, "p/a@s", {"k": "v"}, "p/b@s") as take:
        take(MUCH)
        take(b"end")
    assert zfs.received == MUCH + b"end"
    assert zfs.asked == ("p/a@s", {"k": "v"}, "p/b@s")


def test_what_comes_after_a_failure_is_dropped_and_the_failure_told():
    def use():
        with receiving(End(most=1, fails=errno.ENOSPC), "p/a@s", {}, None) as take:
            for _ in range(8):
                take(MUCH)

    with pytest.raises(ZfsFailure, match="ENOSPC"):
        use()


def test_what_fails_at_our_end_counts():
    with pytest.raises(KeyError):
        fail(receiving(End(fails=errno.EINVAL), "p/a@s", {}, None), lambda take: take(b"x"))


def test_the_thread_cannot_keep_our_end_open():
    with sending(sender := End(), "p/a@s", None), receiving(receiver := End(), "p/a@s", {}, None):
        pass
    assert (sender.others, receiver.others) == ([], [])


def test_a_thread_that_cannot_have_a_table_of_its_own_does_nothing(monkeypatch):
    def refused(kinds):
        assert kinds == syscalls.CLONE_FILES
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(syscalls, "unshare", refused)
    with (
        pytest.raises(StorageError, match="stream of zfs: Cannot allocate"),
        receiving(zfs := End(), "p/a@s", {}, None) as take,
    ):
        take(b"x")
    assert zfs.asked == ()


def test_without_a_thread_nothing_is_left(monkeypatch):
    def start(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(StorageError, match="no thread"), sending(End(), "p/a@s", None):
        pass
