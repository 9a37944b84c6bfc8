from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from harness import local_remote as module
from harness import workplace
from harness.errors import RemoteError
from harness.local_remote import LocalRemote

ROOT = Path(__file__).resolve().parents[2]


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_the_environment_is_ours_but_for_what_would_lead_outside(local_remote):
    done = local_remote.run(["env"], env={"MORE": "yes"})
    env = dict(line.split("=", 1) for line in done.stdout.decode().splitlines() if "=" in line)
    assert env["PATH"] == os.environ["PATH"]
    assert env["MORE"] == "yes"
    assert not [name for name in env if name.startswith(("PYTEST_", "XDG_", "COV"))]


def test_a_mount_in_there_is_not_seen_here(local_remote):
    path = f"{local_remote.workdir}/mounted"
    local_remote.run(["mkdir", path])
    assert local_remote.run(["mount", "-t", "tmpfs", "none", path]).status == 0
    assert path not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    assert local_remote.run(["umount", path]).status == 0
    # From here the work directory is an empty one, or not even to be seen.
    assert not Path(path).exists()


@pytest.mark.parametrize(
    "path", ["/escaped", "/etc/escaped", "/tmp/escaped", str(ROOT / "escaped")]
)
def test_the_machine_cannot_be_changed_from_in_there(local_remote, path):
    if not local_remote.facts["protected"]:
        pytest.skip(f"not protected on this kernel: {local_remote.facts['notes']}")
    done = local_remote.run(["sh", "-c", f"echo > {path}"])
    assert done.status != 0
    assert b"Read-only file system" in done.stderr
    assert not Path(path).exists()


def test_proc_shows_only_what_runs_in_there(local_remote):
    if not local_remote.facts["pid_namespace"]:
        pytest.skip(f"no pid namespace here: {local_remote.facts['notes']}")
    listed = local_remote.run(["sh", "-c", "ls -d /proc/[0-9]*"]).stdout.split()
    assert b"/proc/1" in listed
    assert len(listed) < 8
    assert local_remote.run(["sh", "-c", "echo 500 > /proc/self/oom_score_adj"]).status == 0


def test_a_command_costs_milliseconds(local_remote):
    best = min(local_remote.run(["true"]).duration for _ in range(20))
    assert best < 0.02


def test_closing_leaves_nothing_of_processes_and_files():
    remote = LocalRemote()
    with open(f"/proc/{remote._site.keeper.pid}/task/{remote._site.keeper.pid}/children") as file:
        inner = int(file.read().split()[0])
    remote.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo x > $TMPDIR/left"])
    remote.close()
    assert not Path(remote.workdir).exists()
    assert not Path(f"/proc/{inner}").exists()
    remote.close()
    with pytest.raises(RemoteError, match="has gone"):
        remote.run(["true"])


HARNESS = """
import os, signal, sys
from harness.local_remote import LocalRemote
remote = LocalRemote()
remote.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"])
print(remote.workdir, remote._site.keeper.pid, flush=True)
os.kill(os.getpid(), getattr(signal, sys.argv[1]))
"""


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM"])
def test_a_killed_harness_leaves_nothing(how):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", HARNESS, how], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == -getattr(signal, how), done.stderr
    workdir, keeper = done.stdout.split()
    assert wait_until(lambda: not Path(workdir).exists())
    assert wait_until(lambda: not Path(f"/proc/{keeper}").exists())


def test_what_a_killed_keeper_left_is_swept_away_by_the_next_target(local_remote):
    dead = tempfile.mkdtemp(prefix=workplace.PREFIX)
    Path(dead, "file").write_text("left")
    with LocalRemote():
        assert not Path(dead).exists()
        assert Path(local_remote.workdir).exists()  # that one is alive
    assert local_remote.run(["true"]).status == 0


def test_run_is_not_covered_where_something_needed_is_below_it(monkeypatch):
    monkeypatch.setenv("PATH", "/run/current-system/sw/bin:/usr/bin")
    assert "/run" not in module._coverable("/tmp/x")
    monkeypatch.setenv("PATH", "/usr/bin")
    assert module._coverable("/dev/shm/x") == ["/run"]
