from __future__ import annotations

import contextlib
import os
import socket
import threading

import pytest

from harness import mux
from harness.mux import DATA, END, STDERR, STDIN, STDOUT, LinkError, Mux


@pytest.fixture
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


class End(Mux):
    """One end of a link between threads of this process; ``lost`` is what serving it raised."""

    def __init__(self, ours, **options):
        self.ours = ours
        self.lost = None
        options = {"ping": 0.1, "silence": 60.0, **options}
        inlet = os.dup(ours.fileno())
        super().__init__(ours.fileno(), lambda: ours.recv(100_000), inlet, **options)
        self.thread = threading.Thread(target=self._serve)

    def _serve(self):
        try:
            self.serve()
        except LinkError as error:
            self.lost = error
        finally:
            self.close_pipes()
            if self._write_to >= 0:
                self.hang_up()
            self.ours.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def link(stack):
    """Return a function that makes both ends; they are served once they have been prepared."""

    def make(**options):
        near, far = socket.socketpair()
        ends = End(near, **options), End(far, **options)
        stack.callback(near.close)
        stack.callback(far.close)
        return ends

    def serve(*ends):
        for end in ends:
            end.thread.start()
            stack.callback(end.thread.join)
        stack.callback(lambda: [end.ours.shutdown(socket.SHUT_RDWR) for end in ends[:1]])

    make.serve = serve
    return make


def joined(near, far, number=1, stream=STDOUT):
    """Join a pipe here to one there; return what to write to, and what to read from."""
    ours, theirs = os.pipe(), os.pipe()
    near.read_into_link(number, stream, ours[0])
    far.write_from_link(number, stream, theirs[1])
    return ours[1], theirs[0]


def write_all(descriptor, data):
    with open(descriptor, "wb", buffering=0) as file:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]


def read_all(descriptor):
    with open(descriptor, "rb") as file:
        return file.read()


def test_what_is_written_here_is_read_there_to_the_end(link):
    near, far = link()
    inlet, outlet = joined(near, far)
    link.serve(near, far)
    data = os.urandom(2_000_000)
    writer = threading.Thread(target=write_all, args=(inlet, data))
    writer.start()
    assert read_all(outlet) == data
    writer.join()


def test_that_nobody_reads_there_is_told_here(link):
    near, far = link()
    inlet, outlet = joined(near, far)
    link.serve(near, far)
    os.close(outlet)
    with pytest.raises(BrokenPipeError):
        write_all(inlet, bytes(10_000_000))


def test_what_is_not_read_does_not_pile_up(link):
    near, far = link()
    inlet, outlet = joined(near, far, 1)
    other_inlet, other_outlet = joined(near, far, 2)
    os.set_blocking(inlet, False)
    link.serve(near, far)
    written = 0
    for _ in range(50):
        with contextlib.suppress(BlockingIOError):
            written += os.write(inlet, b"x" * 65536)
        # Each time something else has gone through, everything had its turn.
        os.write(other_inlet, b"turn")
        assert os.read(other_outlet, 4) == b"turn"
    assert mux.WINDOW <= written <= mux.WINDOW + 3 * 65536
    assert len(far._sinks[1, STDOUT].waiting) <= mux.WINDOW
    for descriptor in (inlet, outlet, other_inlet, other_outlet):
        os.close(descriptor)


def test_standard_error_comes_before_what_was_written_after_it(link):
    near, far = link()
    out, out_there = joined(near, far, stream=STDOUT)
    err, err_there = joined(near, far, stream=STDERR)
    os.write(err, b"e" * 60_000)
    os.write(out, b"o")
    link.serve(near, far)
    assert os.read(out_there, 1) == b"o"
    os.set_blocking(err_there, False)
    assert len(os.read(err_there, 100_000)) == 60_000
    for descriptor in (out, err, out_there, err_there):
        os.close(descriptor)


def test_marks_have_passed_when_all_that_was_there_has_gone(link):
    near, far = link()
    inlet, outlet = joined(near, far)
    os.write(inlet, b"abc")
    marks = near.marks(1)
    assert marks == [(1, STDOUT, 3)]
    assert not near.passed(marks)
    os.write(inlet, b"more, later")
    near._pump((1, STDOUT), near._sources[1, STDOUT])
    assert near.passed(marks)
    near.close_pipes()
    far.close_pipes()
    assert near.passed([(1, STDOUT, 1000)]), "of what is closed nothing can be waited for"
    for end in (near, far):
        end.hang_up()
    for descriptor in (inlet, outlet):
        os.close(descriptor)


def test_silence_ends_the_link(link):
    near, far = link(silence=1.0)
    link.serve(near)
    near.thread.join(60)
    assert str(near.lost) == "no sign of life for 1 s"
    far.hang_up()


def test_signs_of_life_keep_an_idle_link_up(link):
    near, far = link(silence=1.0)
    link.serve(near, far)
    near.thread.join(2.5)
    assert near.thread.is_alive()
    assert near.lost is far.lost is None


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"\xffModified by a shell's greeting", "a frame of .* bytes; the other end speaks"),
        (mux._HEADER.pack(77, 1, 0, 0), "a frame of kind 77 for 1, with 0 bytes"),
    ],
)
def test_what_is_no_frame_ends_the_link(link, sent, why):
    near, far = link()
    link.serve(near)
    far.ours.sendall(sent)
    near.thread.join(60)
    with pytest.raises(LinkError, match=why):
        raise near.lost
    far.hang_up()


def test_a_frame_may_come_in_pieces_and_for_what_has_gone(link):
    near, far = link()
    outlet, inlet = os.pipe()
    near.write_from_link(3, STDIN, inlet)
    link.serve(near)
    frames = mux._HEADER.pack(DATA, 9, STDIN, 4) + b"lost"
    frames += mux._HEADER.pack(DATA, 3, STDIN, 4) + b"kept" + mux._HEADER.pack(END, 3, STDIN, 0)
    for one in frames:
        far.ours.sendall(bytes([one]))
    assert read_all(outlet) == b"kept"
    far.hang_up()
