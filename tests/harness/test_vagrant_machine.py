import json
import shlex
import socket
import stat
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import vagrant_machine, virsh
from harness.acceleration import Acceleration
from harness.errors import TargetError
from harness.machine import Machine, Shape
from harness.vagrant_machine import VagrantMachine
from harness.vmrun import VmRun

from . import toyvirt

EMULATED = Acceleration(kvm=False, why="tried")


@pytest.fixture
def libvirt(tmp_path, monkeypatch):
    return toyvirt.install(tmp_path, monkeypatch)


@pytest.fixture
def run(libvirt):
    run = VmRun.begin()
    yield run
    libvirt.fails["destroy"] = []
    run.leave()


@pytest.fixture
def box(tmp_path):
    """What a machine wants to know of a box."""
    folder = tmp_path / "box"
    folder.mkdir()
    files = {"image": "box.img", "kernel": "vmlinuz", "initrd": "initrd.img"}
    for name in files.values():
        (folder / name).write_text(name)
    paths = {part: folder / name for part, name in files.items()}
    return SimpleNamespace(**paths, cmdline="console=ttyS0")


@pytest.fixture
def machine(run, box):
    return VagrantMachine(run, 0, box, Shape(), EMULATED)


@pytest.fixture
def sshd():
    """A server that greets as sshd does, at the port that is chosen next."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"SSH-2.0-toy\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def answering(sshd, monkeypatch):
    monkeypatch.setattr(vagrant_machine, "_free_port", lambda: sshd)


def _told(machine):
    return json.loads((machine.folder / "private" / "parameters.json").read_text())


@pytest.mark.usefixtures("answering")
def test_it_is_a_machine_from_up_to_destroy(machine, libvirt, sshd):
    served: Machine = machine
    served.up()
    assert served.is_running()
    assert (served.address.host, served.address.port) == ("127.0.0.1", sshd)
    served.checkpoint()
    served.checkpoint()
    assert libvirt.domains[served.name]["checkpoints"] == ["ready"]
    served.restore()
    served.power_cut()
    served.destroy()
    served.destroy()
    assert not served.is_running()
    assert not machine.folder.exists()
    assert libvirt.domains == libvirt.pools == {}


def test_everything_of_it_carries_the_runs_name(machine, run, libvirt):
    machine.start()
    assert list(libvirt.domains) == list(libvirt.pools) == [f"{run.name}-0"]
    assert _told(machine)["pool"] == _told(machine)["name"] == f"{run.name}-0"


@pytest.mark.usefixtures("libvirt")
def test_keys_are_for_one_machine_and_one_user(machine, run, box):
    other = VagrantMachine(run, 1, box, Shape(), EMULATED)
    machine.start()
    other.start()
    assert machine.address.host_key != other.address.host_key
    assert machine.address.host_key.startswith("ssh-ed25519 AAAA")
    assert len(machine.address.host_key.split()) == 2
    private = machine.folder / "private"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE((machine.folder / "seed.qcow2").stat().st_mode) == 0o600
    assert machine.address.key_file.parent == private


def test_the_box_stays_as_it_is(machine, run, box):
    machine.start()
    told = _told(machine)
    assert Path(told["kernel"]).read_text() == "vmlinuz"
    assert {Path(told["kernel"]).parent, Path(told["initrd"]).parent} == {run.folder}
    assert box.kernel.stat().st_nlink == 1


@pytest.mark.usefixtures("libvirt")
def test_how_it_is_emulated_follows_from_the_probe(machine, run, box):
    machine.start()
    assert _told(machine)["driver"] == "qemu"
    assert _told(machine)["cpu"]["disabled"] == ["cx16"]
    fast = VagrantMachine(run, 1, box, Shape(), Acceleration(kvm=True, why="tried"))
    fast.start()
    assert _told(fast)["driver"] == "kvm"
    assert _told(fast)["cpu"] == {"mode": "host-passthrough"}


def test_a_port_that_was_taken_meanwhile_is_replaced(machine, libvirt, monkeypatch):
    ports = iter([1001, 1002, 1003])
    monkeypatch.setattr(vagrant_machine, "_free_port", lambda: next(ports))
    taken = "Could not set up host forwarding rule 'tcp:127.0.0.1:1001-:22'"
    trace = "\n\tfrom /usr/share/vagrant/machine.rb:1" * 50  # as the real one says it
    libvirt.fails["vagrant"] = [taken + trace, taken]
    machine.start()
    assert machine.address.port == 1003
    assert machine.enter().count("1003") == 1
    assert ":1003 " in (machine.folder / "private" / "known_hosts").read_text().replace("]", "")


def test_ports_that_are_always_taken_are_told(machine, libvirt):
    libvirt.fails["vagrant"] = "Could not set up host forwarding rule 'tcp:…'"
    with pytest.raises(TargetError, match=r"5 ports of 127\.0\.0\.1 in turn were taken"):
        machine.start()


def test_what_vagrant_says_is_shown(machine, libvirt):
    trace = "\n\tfrom /usr/share/vagrant/machine.rb:1" * 50
    libvirt.fails["vagrant"] = f"cannot allocate memory{trace}"
    with pytest.raises(TargetError, match=r"^vagrant up failed for .*: cannot allocate memory$"):
        machine.start()
    assert libvirt.domains == {}


def test_a_full_disk_is_told_in_the_tools_words(machine, libvirt):
    libvirt.fails["qemu-img"] = "pool0.qcow2: No space left on device"
    with pytest.raises(TargetError, match="No space left on device"):
        machine.start()
    machine.destroy()
    assert not machine.folder.exists()


def test_a_machine_that_never_answers_is_told_with_its_console(machine, monkeypatch):
    monkeypatch.setattr(vagrant_machine, "_BOOT", 0.5)
    machine.start()
    (machine.folder / "console.log").write_text("\n".join(f"line {n}" for n in range(100)))
    with pytest.raises(TargetError, match=r"(?s)did not answer on 127.*in 0.5 s.*\nline 99$") as e:
        machine.wait()
    assert "line 69\n" not in str(e.value)
    assert "line 70\n" in str(e.value)


def test_a_machine_that_dies_while_it_boots_is_not_waited_for(machine, monkeypatch):
    monkeypatch.setattr(vagrant_machine, "_LOOK", 0.0)
    machine.start()
    virsh.cut(machine.name)
    (machine.folder / "console.log").write_text("Kernel panic - not syncing\n")
    with pytest.raises(TargetError, match=r"is shut off instead of .*\nKernel panic - not sync"):
        machine.wait()


def test_the_console_is_kept_over_a_power_cut(machine, sshd, monkeypatch):
    monkeypatch.setattr(vagrant_machine, "_free_port", lambda: sshd)
    machine.up()
    (machine.folder / "console.log").write_text("first boot\n")
    machine.power_cut()
    (machine.folder / "console.log").write_text("second boot\n")
    assert machine.console_log() == b"first boot\nsecond boot\n"


def test_what_was_not_brought_up_has_no_address_no_console_and_no_checkpoint(machine):
    with pytest.raises(TargetError, match="has not been brought up"):
        _ = machine.address
    assert machine.console_log() == b""
    assert not machine.is_running()
    assert not machine.is_ready
    with pytest.raises(TargetError, match="has no checkpoint"):
        machine.restore()


def test_the_line_to_enter_trusts_only_this_machine(machine):
    machine.start()
    words = shlex.split(machine.enter())
    known = f"UserKnownHostsFile={machine.folder}/private/known_hosts"
    assert known in words
    assert "StrictHostKeyChecking=yes" in words
    assert words[-1] == "root@127.0.0.1"


def test_vagrant_is_kept_from_the_users_own_settings(machine, monkeypatch):
    monkeypatch.setenv("VAGRANT_VAGRANTFILE", "/home/me/Vagrantfile")
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "qemu+ssh://elsewhere/system")
    found = machine._environment()
    assert "VAGRANT_VAGRANTFILE" not in found
    assert "LIBVIRT_DEFAULT_URI" not in found
    assert found["VAGRANT_HOME"].startswith(str(machine.folder))
