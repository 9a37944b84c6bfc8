from __future__ import annotations

import signal
import time

import pytest

from harness import pipes
from harness.errors import RemoteTimeoutError
from harness.remote import TAIL


def shell(remote, script, *args):
    return remote.start(["sh", "-c", script, *args])


def test_streams_status_and_duration_are_told_apart(remote):
    with shell(remote, "cat; echo bad >&2; exit 3") as channel:
        done = channel.finish(b"input", timeout=10)
    assert (done.status, done.stdout, done.stderr, done.truncated) == (3, b"input", b"bad\n", False)
    assert 0 < done.duration < 10


def test_a_signal_is_a_negative_status(remote):
    with shell(remote, "kill -SEGV $$") as channel:
        assert channel.finish(timeout=10).status == -signal.SIGSEGV


def test_more_than_a_pipe_holds_goes_both_ways_at_once(remote):
    data = bytes(range(256)) * 40_000
    with shell(remote, "tee /dev/stderr") as channel:
        done = channel.finish(data, timeout=60)
    assert done.stdout == data
    assert done.stderr == data[-TAIL:]


def test_input_that_nobody_reads_is_no_error(remote):
    with shell(remote, "exec <&-; exit 4") as channel:
        assert channel.finish(b"x" * 10_000_000, timeout=20).status == 4


def test_a_command_that_ends_is_never_waited_for_longer(remote):
    # What ends, and what closes its streams, arrive in any order: none may cost the time-out.
    started = time.monotonic()
    for _ in range(100):
        with shell(remote, "echo out; echo err >&2") as channel:
            assert channel.finish(timeout=60).status == 0
    assert time.monotonic() - started < 50


def test_a_descendant_that_keeps_the_streams_open_is_not_waited_for(remote):
    with shell(remote, "sleep 1000 & echo $!") as channel:
        done = channel.finish(timeout=60)
    assert done.duration < 50
    remote.run(["kill", done.stdout.decode().strip()])


def test_a_time_out_kills_the_group_and_tells_what_was_written(remote):
    channel = shell(remote, "echo early; echo bad >&2; sleep 1000 & wait")
    with pytest.raises(RemoteTimeoutError, match=r"did not end in 0\.5 s and was killed") as caught:
        channel.finish(timeout=0.5)
    assert (caught.value.stdout, caught.value.stderr) == (b"early\n", b"bad\n")
    assert channel.pid not in remote.pids()
    group = remote.run(["ps", "-o", "state=", "-g", str(channel.pid)])
    assert group.stdout.replace(b"Z", b"").strip() == b""


def test_output_beyond_the_limit_is_thrown_away_and_said_so(remote, monkeypatch):
    monkeypatch.setattr(pipes, "MAX_OUTPUT", 1000)
    with shell(remote, "head -c 5000 /dev/zero") as channel:
        done = channel.finish(timeout=10)
    assert (len(done.stdout), done.truncated, done.status) == (1000, True, 0)
    with (
        shell(remote, "head -c 5000 /dev/zero; cat") as channel,
        pytest.raises(ValueError, match="a line of more than 1000 bytes"),
    ):
        channel.read_line(10)


def test_lines_go_to_and_fro(remote):
    with shell(remote, 'while read -r line; do echo "<$line>"; done; exit 5') as channel:
        for line in (b"one", b"two", b"x" * 100_000):
            channel.send_line(line)
            assert channel.read_line(10) == b"<" + line + b">"
        assert channel.returncode is None
        channel.close_input()
        with pytest.raises(EOFError):
            channel.read_line(10)
        assert channel.finish(timeout=10).status == 5
        assert channel.returncode == 5


def test_several_lines_in_one_piece_are_several_lines(remote):
    with shell(remote, "printf 'a\\nb\\nc'; cat") as channel:
        assert [channel.read_line(10), channel.read_line(10)] == [b"a", b"b"]
        with pytest.raises(RemoteTimeoutError, match=r"wrote no line in 0\.2 s"):
            channel.read_line(0.2)


def test_a_line_that_is_cut_off_by_the_end_is_no_line(remote):
    with shell(remote, "printf half") as channel, pytest.raises(EOFError):
        channel.read_line(10)


def send_lines(channel, count):
    for _ in range(count):
        channel.send_line(b"anyone?" * 200)


def test_writing_to_one_that_has_ended_or_does_not_read_is_told(remote):
    with shell(remote, "exit 0") as channel:
        with pytest.raises(EOFError):
            channel.read_line(10)
        # The kernel closes the descriptors of a process one by one, and its input may be the last.
        with pytest.raises(BrokenPipeError):
            send_lines(channel, 5000)
    deaf = shell(remote, "sleep 1000")
    with pytest.raises(RemoteTimeoutError, match=r"did not read its input in 0\.3 s"):
        deaf.send_line(b"x" * 10_000_000, timeout=0.3)
    deaf.close(timeout=0.0)


def test_standard_error_is_read_also_while_only_lines_are_asked_for(remote):
    with shell(
        remote, "head -c 3000000 /dev/zero >&2; echo done; read x; echo more >&2; cat"
    ) as channel:
        assert channel.read_line(30) == b"done"
        assert len(channel.take_stderr()) == TAIL
        assert channel.take_stderr() == b""
        channel.send_line(b"go")
        channel.close_input()
        assert channel.finish(timeout=10).stderr == b"more\n"
        assert len(channel.stderr) == TAIL


def test_closing_ends_the_command_by_force_if_need_be(remote):
    polite = shell(remote, "cat; exit 6")
    polite.close()
    assert polite.returncode == 6
    deaf = shell(remote, "trap '' TERM INT HUP; sleep 1000")
    deaf.close(timeout=0.2)
    assert deaf.returncode == -signal.SIGKILL
    deaf.close()
    deaf.signal(signal.SIGKILL)  # nothing is left to signal


def test_a_signal_reaches_the_whole_group(remote):
    with shell(remote, "sleep 1000 & echo up; wait") as channel:
        channel.read_line(10)
        channel.signal(signal.SIGTERM)
        assert channel.finish(timeout=10).status == -signal.SIGTERM
