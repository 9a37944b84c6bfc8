"""Machines as they really are: each of these takes a boot, 20 to 60 s under software emulation."""

import concurrent.futures
import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import acceleration, fleet, vagrant_machine, virsh, vmrun
from harness import box as boxes
from harness.errors import RemoteError, TargetError
from harness.fabric_remote import FabricRemote
from harness.fleet import Fleet
from harness.machine import Shape
from harness.vagrant_target import Session, Source
from harness.vmrun import VmRun

PATIENCE = 600.0


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextlib.contextmanager
def leased(box):
    """Give a fleet of one run, and a machine of it that is not made yet."""
    run = VmRun.begin()
    try:
        found = Fleet(run, box, Shape(), acceleration.probe(box.kernel))
        lease = found.lease()
        try:
            yield found, lease.machine
        finally:
            lease.release()
    finally:
        run.leave()


@pytest.mark.usefixtures("clean")
def test_a_machine_from_nothing_to_nothing(box):
    """Boot, save, change, put back, power cut, put back; and no way out of the guest."""
    with leased(box) as (found, machine):
        found.bring_up(machine)
        with contextlib.closing(FabricRemote(machine.address)) as remote:
            remote.run(["touch", "/root/before"])
            assert _name(remote) == machine.name
            assert _disks(remote) == {"root", "pool0", "pool1", "seed"}
            assert _refused(remote, "10.0.2.2")  # this host, as QEMU's user-mode network has it
        machine.checkpoint()
        with contextlib.closing(FabricRemote(machine.address)) as remote:
            remote.run(["sh", "-c", "rm /root/before; touch /root/after; sync"])
        machine.restore()
        with contextlib.closing(FabricRemote(machine.address)) as remote:
            assert remote.run(["ls", "/root"]).stdout == b"before\n"
            # Durable, and not: only the first of these outlives the power.
            remote.run(["sh", "-c", "touch /root/durable; sync; touch /root/lost"])
        machine.power_cut()
        with contextlib.closing(FabricRemote(machine.address)) as remote:
            assert remote.run(["ls", "/root"]).stdout == b"before\ndurable\n"
        machine.restore()
        with contextlib.closing(FabricRemote(machine.address)) as remote:
            assert remote.run(["ls", "/root"]).stdout == b"before\n"


def _name(remote):
    return remote.run(["uname", "-n"]).stdout.decode().strip()


def _disks(remote):
    return set(remote.run(["lsblk", "-dno", "SERIAL"]).stdout.decode().split())


def _refused(remote, address):
    script = (
        "import socket, sys\n"
        "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)\n"
        "except OSError: print('refused')"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:  # what would answer if it could
        port = str(listener.getsockname()[1])
        done = remote.run([remote.python, "-c", script, address, port])
    return done.stdout == b"refused\n"


@pytest.mark.usefixtures("clean")
def test_a_machine_that_dies_is_noticed_put_back_and_made_anew(box):
    ready = []
    with Session(box.name, print):
        source = Source(box.name)
        try:
            remote = source.connect(ready.append)
            name = remote.run(["uname", "-n"]).stdout.decode().strip()
            virsh.cut(name)
            with pytest.raises(RemoteError):
                remote.run(["true"], timeout=PATIENCE)
            remote.close()
            again = source.connect(ready.append)
            assert again.run(["uname", "-n"]).stdout.decode().strip() == name
            assert abs(float(again.run(["date", "+%s"]).stdout) - time.time()) < 5
            assert len(ready) == 1
            again.close()
            virsh.cut(name)
            virsh.forget(name, vagrant_machine.CHECKPOINT)
            third = source.connect(ready.append)
            assert len(ready) == 2
            assert third.run(["true"]).status == 0
            third.close()
        finally:
            source.close()


@pytest.mark.usefixtures("clean")
def test_a_machine_that_does_not_come_up_is_told_with_the_end_of_its_console(box):
    metadata = {**box.metadata, "cmdline": box.cmdline.replace("root=", "root=LABEL=nowhere no=")}
    broken = dataclasses.replace(box, metadata=metadata)
    with leased(broken) as (found, machine), pytest.raises(TargetError) as told:
        found.bring_up(machine)
    assert "the end of its console:" in str(told.value)
    assert "nowhere" in str(told.value)


#: Seconds: as long as the issue of a cut network is meant to last.
CUT = 30.0


@pytest.mark.usefixtures("clean")
def test_a_network_that_is_cut_for_half_a_minute_does_no_harm(box):
    with leased(box) as (found, machine):
        found.bring_up(machine)
        with (
            contextlib.closing(FabricRemote(machine.address)) as remote,
            concurrent.futures.ThreadPoolExecutor(1) as other,
        ):
            count = 'n=0; while test -e /root/more; do n=$((n + 1)); sleep 1; done; echo "$n"'
            remote.run(["touch", "/root/more"])
            _link(machine, "off")
            asked = other.submit(remote.run, ["sh", "-c", count], timeout=PATIENCE)
            with pytest.raises(concurrent.futures.TimeoutError):
                asked.result(CUT)
            _link(machine, "on")
            remote.run(["rm", "/root/more"], timeout=PATIENCE)
            assert int(asked.result(PATIENCE).stdout) >= 0
            assert _name(remote) == machine.name


def _link(machine, state):
    said = virsh._virsh("qemu-monitor-command", machine.name, "--hmp", f"set_link ssh0 {state}")
    assert said.strip() == ""


def test_a_build_that_is_killed_leaves_nothing_that_is_used(clean, monkeypatch):
    """The processes of the build go with it, and what it has made goes with the next use."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(clean / "cache"))
    start = "from harness.cli import main; main()"
    words = [sys.executable, "-c", start, "box", "build", "debian13"]
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as victim:
        wait_for(lambda: list(boxes.cache().glob(".build-debian13-*/*/builder/usr")))
        victim.kill()
        victim.wait(PATIENCE)
    assert boxes.find("debian13") is None
    assert boxes.remove("debian13") == []  # waits until nobody has the lock any more
    assert [path.name for path in boxes.cache().iterdir()] == ["debian13.lock"]
    assert str(clean) not in Path("/proc/self/mountinfo").read_text()
    assert not _processes_below(clean)


def _processes_below(folder):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found += [process for link in ("root", "cwd") if _is_below(process / link, folder)]
    return found


def _is_below(link, folder):
    return str(link.readlink()).startswith(f"{folder}/")


@pytest.mark.usefixtures("clean")
def test_a_port_that_is_taken_is_replaced(box, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken, leased(box) as (_, machine):
        free = vagrant_machine._free_port
        ports = iter([taken.getsockname()[1]])
        monkeypatch.setattr(vagrant_machine, "_free_port", lambda: next(ports, None) or free())
        machine.start()
        assert machine.is_running()
        assert machine.address.port != taken.getsockname()[1]


def test_a_full_disk_is_told_and_leaves_nothing(box, clean, monkeypatch):
    small = clean / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=711", "none", small], check=True)
    try:
        monkeypatch.setenv(vmrun.VARIABLE, str(small / "runs"))
        monkeypatch.setattr(fleet, "DISK_MIB", 0)
        with pytest.raises(TargetError, match="No space left on device"), leased(box) as (f, m):
            f.bring_up(m)
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


def _domain():
    there = [name for name in virsh.names("domain") if _ours(name)]
    return there[0] if there else ""


def _ours(name):
    return any(run.name == name[: len(run.name)] for run in vmrun.base().glob("layerfs-*"))


def _making():
    return any(vmrun.base().glob("*/machine-0/private/parameters.json"))


def _running():
    return bool(_domain()) and virsh.state(_domain()) == "running"


#: By which a test knows how far the victim is: a line of its output, or what there is of it.
PHASES = {
    "begun": "begun",
    "vagrant works": _making,
    "the guest boots": _running,
    "booted": "booted",
    "connected": "connected",
    "ending": "ending",
}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "SIGINT"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.usefixtures("clean")
def test_a_run_that_is_killed_leaves_nothing_to_the_next(box, phase, number):
    """After SIGKILL the next run cleans up; at Ctrl-C the run itself does, unless it was at it."""
    words = [sys.executable, str(Path(__file__).with_name("victim.py")), box.name]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as victim:
        reach = PHASES[phase]
        if phase == "ending":
            _read_until(victim.stdout, b"connected\n")
            victim.stdin.close()
        if isinstance(reach, str):
            _read_until(victim.stdout, reach.encode() + b"\n")
        else:
            wait_for(reach)
        os.killpg(victim.pid, number)
        victim.stdout.read()
        victim.wait(PATIENCE)
    if number == signal.SIGINT and phase != "ending":
        assert not vmrun.base().exists()
    VmRun.begin().leave()


def _read_until(stream, line):
    while (read := stream.readline()) != line:
        assert read
