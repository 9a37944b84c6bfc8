"""What is made where the kernel permits less: each restriction is made real in a user namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import TargetError
from harness.local_remote import LocalRemote

ROOT = Path(__file__).resolve().parents[2]

REPORT = """
import json, os, sys
from harness.errors import TargetError
from harness.local_remote import LocalRemote
from harness.ledger import difference
from harness.observe import Host
try:
    remote = LocalRemote()
except TargetError as error:
    sys.exit(f"TargetError: {error}")
with remote:
    host = Host(remote)
    before = host.ledger()
    pid = remote.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"]).stdout
    found = {
        "facts": dict(host.facts),
        "before": len(before.processes),
        "left": difference(before, host.ledger()),
        "id_map": remote.run(["cat", "/proc/self/uid_map"]).stdout.decode().split(),
    }
found["killed"] = not os.path.exists(f"/proc/{int(pid)}")
found["removed"] = not os.path.exists(remote.workdir)
print(json.dumps(found))
"""


def report(preparation=(), env=None):
    """Make a target in a process of its own, after ``preparation``, and tell about it."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **(env or {})}
    done = subprocess.run(
        [*preparation, sys.executable, "-c", REPORT],
        capture_output=True, text=True, check=False, timeout=60, env=env,
    )  # fmt: skip
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]


def restricted(command, *then):
    """Return a prefix that runs ``command`` as root of a user namespace before what follows."""
    prefix = [*UNSHARE, "sh", "-c", f'{command}; exec "$@"', "-", *then]
    done = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no user namespace to restrict: {done.stderr.strip()}")
    return prefix


@pytest.fixture
def ordinary_user():
    if os.geteuid() == 0:
        pytest.skip("needs an ordinary user: root's ids are all mapped")


def test_as_much_as_possible_is_made(local_remote):
    facts = local_remote.facts
    assert facts["user_namespace"] == (os.geteuid() != 0)
    assert facts["workdir_kind"] in {"tmpfs", "disk"}
    assert set(facts["covered"]) <= {"/dev/shm", "/run"}
    assert facts["pid_namespace"] or facts["notes"]


def test_where_proc_is_masked_there_is_no_pid_namespace_and_still_no_leak():
    # As in an unprivileged container: what a parent namespace has masked is locked in its child
    # (mount_namespaces(7)), and a new /proc would reveal it (mount_too_revealing, fs/namespace.c).
    found = report(restricted("mount -t tmpfs none /proc/bus", *UNSHARE))
    facts = found["facts"]
    assert facts["pid_namespace"] is False
    assert "no pid namespace of its own: Operation not permitted" in facts["notes"]
    assert found["before"] == 0, "processes of others are no part of the ledger"
    assert [line for line in found["left"] if "sleep 1000" in line] == found["left"] != []
    assert found["killed"]
    assert found["removed"]


def test_a_machine_that_permits_no_namespace_is_told_with_a_remedy():
    refusal = report(restricted("echo 0 > /proc/sys/user/max_mnt_namespaces"))
    assert "TargetError: the kernel refuses a disposable namespace: No space left" in refusal
    assert "remedy: " in refusal
    assert "Traceback" not in refusal


def test_root_without_the_right_to_mount_uses_a_user_namespace():
    if os.geteuid() != 0 or not shutil.which("capsh"):
        pytest.skip("needs root and capsh")
    dropped = ["capsh", "--drop=cap_sys_admin", "--", "-c", 'exec "$@"', "-"]
    found = report(dropped)
    assert found["facts"]["user_namespace"]
    assert "root here may not make mounts: a user namespace is used" in found["facts"]["notes"]
    assert found["removed"]


def test_without_newuidmap_one_id_is_mapped(ordinary_user, tmp_path):  # noqa: ARG001
    needed = ["sh", "mkdir", "cat", "sleep", "setsid", "python3"]
    for tool in needed:
        (tmp_path / tool).symlink_to(shutil.which(tool))
    found = report(env={"PATH": str(tmp_path)})
    assert found["id_map"] == ["0", str(os.geteuid()), "1"]
    assert "only one id is mapped: newuidmap is not installed (uidmap)" in found["facts"]["notes"]
    assert found["facts"]["can_chown_ids"] is False
    assert found["facts"]["overlay"]


def test_with_newuidmap_the_subordinate_ids_are_mapped(ordinary_user, local_remote):  # noqa: ARG001
    notes = [note for note in local_remote.facts["notes"] if "one id" in note]
    if notes:
        pytest.skip(notes[0])
    assert len(local_remote.run(["cat", "/proc/self/uid_map"]).stdout.split()) == 6
    assert local_remote.run(["sh", "-c", "touch f && chown 1000:1000 f && rm f"]).status == 0


def test_a_holder_that_dies_early_is_told(monkeypatch):
    monkeypatch.setattr("harness.site._BOOTSTRAP", "import sys; sys.exit(3)")
    with pytest.raises(TargetError, match="the holder of the namespaces died while making them"):
        LocalRemote()


ON_DISK = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from harness import census, holder, kernel, probes
kernel.unshare(kernel.CLONE_NEWNS)
kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_SHARED)  # as a host's
answers = json.loads(sys.argv[2])
probes.unfit = lambda path: answers.pop(0)
os.mkdir("w")
open("w/below", "w").close()
made = holder.Made(user_namespace=False)
holder._make_workdir(os.path.abspath("w"), made)
open("w/written", "w").close()
names = sorted(os.listdir("w"))
os.mkdir("w/m")
kernel.mount("tmpfs", "w/m", "tmpfs")
mounts = [one["target"] for one in census.mountinfo()].count(os.path.abspath("w/m"))
kernel.umount("w/m")
print(json.dumps({**vars(made), "names": names, "mounts": mounts}))
kernel.umount("w")
"""


@pytest.mark.parametrize(
    ("answers", "kind", "names"),
    [
        ([None], "tmpfs", ["written"]),
        (["no user xattrs", None], "disk", ["below", "written"]),
        (["no user xattrs", "no overlay at all"], "tmpfs", ["written"]),
    ],
)
def test_the_work_directory_is_on_disk_only_where_that_helps(local_host, answers, kind, names):
    case = local_host.tmp("workdir")
    argv = [local_host.facts["python"], "-I", "-c", ON_DISK, str(ROOT), json.dumps(answers)]
    done = local_host.run(argv, cwd=case)
    local_host.remove(case)
    assert done.stderr == b""
    made = json.loads(done.stdout)
    assert (made["workdir_kind"], made["names"], made["mounts"]) == (kind, names, 1)
    assert made["notes"] == (
        ["the work directory is on disk, since tmpfs cannot: no user xattrs"]
        if kind == "disk"
        else []
    )
