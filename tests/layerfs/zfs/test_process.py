"""Commands as processes: what they inherit, what is told of them, and that they end."""

import os
import signal
import time

import pytest

from layerfs.zfs import process

SHELL = process.find("sh")


def sh(script, **how):
    return process.run(SHELL, ["-c", script], **{"seconds": 30.0} | how)


def test_output_errors_and_status_are_told():
    done = sh("echo out; echo err >&2; exit 3")
    assert done == (3, b"out\n", "err\n")


def test_more_than_a_pipe_holds_is_read_from_both():
    done = sh("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2")
    assert (len(done.output), len(done.errors)) == (300000, 300000)


def test_input_is_given_as_bytes_or_as_a_descriptor(tmp_path):
    assert sh("cat", stdin=b"x" * 200000).output == b"x" * 200000
    assert sh("cat").output == b""
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with path.open("rb", buffering=0) as file:
        file.read(1)
        assert sh("cat", stdin=file.fileno()).output == b"bc"


def test_output_goes_to_a_descriptor(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        done = sh("echo there; echo err >&2", stdout=file.fileno())
    assert path.read_bytes() == b"there\n"
    assert done == (0, b"", "err\n")


def test_nothing_else_is_inherited(monkeypatch):
    monkeypatch.setenv("ZFS_COLOR", "1")
    secret = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        told = sh(f"test -e /proc/self/fd/{secret} && echo open; env")
    finally:
        os.close(secret)
    lines = told.output.decode().split("\n")
    assert "ZFS_COLOR=1" not in lines
    assert "LC_ALL=C" in lines
    assert lines[0] != "open"


def test_the_process_stands_in_its_own_group():
    group = int(sh("cut -d' ' -f5 /proc/$$/stat").output)
    assert group != os.getpgrp()


def test_after_its_time_a_process_is_ended_with_what_it_wrote_left_alone(tmp_path):
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        sh(f"echo $$ > {tmp_path}/pid; exec sleep 100", seconds=0.5)
    assert time.monotonic() - begin < 20
    pid = int((tmp_path / "pid").read_text())
    assert not os.path.exists(f"/proc/{pid}")


def test_the_end_by_a_signal_is_told():
    assert sh("kill -PIPE $$").status == -signal.SIGPIPE


def test_an_exception_ends_the_process(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(process._Child, "collect", fail)
    with pytest.raises(KeyboardInterrupt):
        sh(f"echo $$ > {tmp_path}/pid; exec sleep 100")
    assert not (tmp_path / "pid").exists() or not os.path.exists(
        f"/proc/{(tmp_path / 'pid').read_text().strip()}"
    )


def test_no_descriptor_is_left():
    before = os.listdir("/proc/self/fd")
    sh("true")
    with pytest.raises(TimeoutError):
        sh("exec sleep 100", seconds=0.1)
    with pytest.raises(FileNotFoundError):
        process.run("/no/such/command", [], seconds=1.0)
    assert os.listdir("/proc/self/fd") == before


def test_closed_standard_streams_do_no_harm():
    code = (
        "import os; [os.close(fd) for fd in (0, 1, 2)]\n"
        "from layerfs.zfs import process\n"
        "done = process.run(process.find('sh'), ['-c', 'cat; echo err >&2'], seconds=30.0, "
        "stdin=b'in')\n"
        "os._exit(0 if done == (0, b'in', 'err\\n') else 9)"
    )
    python = process.find("python3")
    root = os.path.dirname(os.path.dirname(os.path.dirname(process.__file__)))
    done = process.run(python, ["-c", f"import sys; sys.path.insert(0, {root!r})\n{code}"],
                       seconds=60.0)  # fmt: skip
    assert done.status == 0, done.errors


def test_a_command_is_found_in_sbin_too(monkeypatch):
    monkeypatch.setenv("PATH", "relative:/nowhere")
    assert process.find("no-such-command-anywhere") is None
    monkeypatch.setattr(process, "_ALSO", (os.path.dirname(SHELL),))
    assert process.find("sh") == SHELL
