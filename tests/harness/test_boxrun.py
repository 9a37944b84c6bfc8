import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import boxrun
from harness.boxrun import BoxError, Runner


@pytest.fixture
def runner(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("not root: no pid namespace can be made")
    with (tmp_path / "log").open("wb") as log, (tmp_path / "lock").open("wb") as held:
        yield Runner(log, lambda _: None, held.fileno())


def test_output_goes_to_the_log(runner, tmp_path):
    runner.run(["sh", "-c", "echo one; echo two >&2"])
    assert "one\ntwo\n" in (tmp_path / "log").read_text()


def test_environment_and_folder_are_the_commands_own(runner, tmp_path):
    runner.run(["sh", "-c", 'pwd; echo "$WORD"'], env={"WORD": "seen"}, cwd=tmp_path)
    assert f"{tmp_path}\nseen\n" in (tmp_path / "log").read_text()


def test_a_failure_tells_status_log_and_the_end_of_the_output(runner, tmp_path):
    with pytest.raises(BoxError) as caught:
        runner.run(["sh", "-c", "seq 1000; exit 3"])
    assert "ended with 3" in str(caught.value)
    assert str(tmp_path / "log") in str(caught.value)
    assert "\n1000" in str(caught.value)
    assert "\n900\n" not in str(caught.value)


def test_a_missing_program_fails(runner):
    with pytest.raises(BoxError, match="127"):
        runner.run(["surely-no-program"])


def test_nothing_that_a_command_started_outlives_it(runner, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    # The orphan ignores what ends ordinary processes, and keeps the fifo open.
    orphan = f"setsid sh -c \"trap '' HUP TERM; exec 3>{fifo}; echo up >&3; sleep 1000\" &"
    runner.run(["sh", "-c", f"{orphan} read x < {fifo}.2 || true"])
    assert os.read(reader, 10) in {b"up\n", b""}
    assert os.read(reader, 10) == b""  # the end, and not BlockingIOError: nobody has it open
    os.close(reader)


def test_what_a_command_mounts_goes_with_it(runner, tmp_path):
    runner.run(["mount", "-t", "tmpfs", "none", tmp_path])
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_a_long_command_is_told_about_with_its_last_line(tmp_path, monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("not root: no pid namespace can be made")
    monkeypatch.setattr(boxrun, "_PULSE", 0.05)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    said = []

    def told(line):
        said.append(line)
        if "working" in line:  # which the command line, told as long as there is nothing, has not
            fifo.write_text("go on\n")

    with (tmp_path / "log").open("wb") as log, (tmp_path / "lock").open("wb") as held:
        Runner(log, told, held.fileno()).run(["sh", "-c", f"echo work''ing; read x < {fifo}"])
    assert said[-1].endswith("working")


def test_a_killed_build_takes_its_commands_along_and_frees_its_lock(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("not root: no pid namespace can be made")
    lock, fifo = tmp_path / "lock", tmp_path / "fifo"
    os.mkfifo(fifo)
    script = (
        "import fcntl, sys\n"
        "from harness.boxrun import Runner\n"
        f"held = open({str(lock)!r}, 'wb')\n"
        "fcntl.flock(held, fcntl.LOCK_EX)\n"
        f"log = open({str(tmp_path / 'log')!r}, 'wb')\n"
        f"command = ['sh', '-c', 'setsid sleep 1000 & echo up > {fifo}; sleep 1000']\n"
        "Runner(log, print, held.fileno()).run(command)\n"
    )
    build = subprocess.Popen([sys.executable, "-c", script])
    assert fifo.read_text() == "up\n"
    build.send_signal(signal.SIGKILL)
    build.wait()
    with lock.open("wb") as mine:
        # Returns only when no process of the build is left; pytest's own time-out guards it.
        fcntl.flock(mine, fcntl.LOCK_EX)
