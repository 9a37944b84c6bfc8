import os
import signal
import subprocess
import sys

import pytest

from harness import tool
from harness.errors import TargetError


def test_both_streams_and_the_status_are_told():
    done = tool.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=60)
    assert (done.status, done.stdout, done.stderr) == (3, "out\n", "err\n")
    with pytest.raises(TargetError, match=r"(?s)^sh -c .*: status 3: out\nerr$"):
        done.good()


def test_a_missing_program_is_named():
    with pytest.raises(TargetError, match=r"^no-such-program is missing here"):
        tool.run(["no-such-program"], timeout=60)


def test_what_takes_too_long_is_killed_with_its_children(tmp_path):
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        script = f"sleep 1000 > {fifo} & sleep 1000"
        with pytest.raises(TargetError, match=r"did not end in 0.5 s; killed$"):
            tool.run(["sh", "-c", script], timeout=0.5)
        os.set_blocking(descriptor, True)
        assert os.read(descriptor, 1) == b""  # nobody has it open for writing any more
    finally:
        os.close(descriptor)


def test_a_kept_descriptor_is_open_in_the_program():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader:
        tool.run(["sh", "-c", f"echo hello > /proc/self/fd/{writing}"], timeout=60, keep=[writing])
        os.close(writing)
        assert reader.read() == b"hello\n"


def test_the_environment_can_be_replaced(monkeypatch):
    monkeypatch.setenv("LEFT_OVER", "1")
    assert "LEFT_OVER=1" in tool.run(["env"], timeout=60).stdout
    told = tool.run(["env"], timeout=60, env={"PATH": os.environ["PATH"], "ONLY": "this"}).stdout
    path = f"PATH={os.environ['PATH']}:{tool.SBIN}"
    assert set(told.split()) == {path, "ONLY=this", "LC_ALL=C.UTF-8"}


def test_it_dies_with_the_harness(tmp_path):
    """Killed without any chance to clean up, the harness still leaves no program behind."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    script = (
        "from harness import tool; "
        f"tool.run(['sh', '-c', 'echo up > {fifo}; exec sleep 1000 > {fifo}'], timeout=1000)"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as harness:
        descriptor = os.open(fifo, os.O_RDONLY)
        with os.fdopen(descriptor, "rb") as reader:
            assert reader.readline() == b"up\n"
            harness.send_signal(signal.SIGKILL)
            harness.wait()
            assert reader.read() == b""
