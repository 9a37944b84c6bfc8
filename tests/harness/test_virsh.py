from pathlib import Path

import pytest

from harness import virsh
from harness.errors import TargetError

from . import toyvirt


@pytest.fixture
def libvirt(tmp_path, monkeypatch):
    return toyvirt.install(tmp_path, monkeypatch)


def test_a_daemon_that_does_not_answer_is_told_with_the_remedy(libvirt):
    libvirt.fails["virsh"] = "failed to connect to the hypervisor"
    with pytest.raises(virsh.LibvirtUnreachableError, match=r"hypervisor .*doctor --install"):
        virsh.version()


def test_without_virsh_the_error_names_it(monkeypatch, tmp_path):
    (tmp_path / "setpriv").symlink_to("/usr/bin/setpriv")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match=r"^virsh is missing here"):
        virsh.version()


def test_any_other_failure_is_told_in_libvirts_words(libvirt):
    libvirt.fails["start"] = "internal error: no\nerror: such luck"
    with pytest.raises(TargetError, match=r"^virsh start: internal error: no; such luck$"):
        virsh.start("a")


def test_what_has_gone_already_is_no_error_to_take_away(libvirt):
    virsh.cut("a")
    virsh.undefine("a")
    virsh.drop_pool("a")
    assert virsh.state("a") == ""
    assert virsh.checkpoints("a") == []
    libvirt.machine("a", "shut off")
    virsh.cut("a")
    assert virsh.state("a") == "shut off"


def test_a_failure_to_take_away_is_an_error(libvirt):
    libvirt.machine("a")
    libvirt.fails["destroy"] = "Failed to terminate process 1 with SIGKILL: Device busy"
    with pytest.raises(TargetError, match="Device busy"):
        virsh.cut("a")


def test_folders_of_a_machine_are_those_of_its_disks(libvirt):
    libvirt.machine("a", disks=["/x/y/root.qcow2", "/z/seed.qcow2"])
    assert virsh.folders_of("domain", "a") == {Path("/x/y"), Path("/z")}
    virsh.make_pool("p", Path("/q"))
    assert virsh.folders_of("pool", "p") == {Path("/q")}
    with pytest.raises(virsh.UnknownNameError):
        virsh.folders_of("domain", "b")


def test_a_running_machine_loads_its_checkpoint_without_a_new_start(libvirt):
    libvirt.machine("a", checkpoints=["ready"])
    virsh.load("a", "ready")
    assert "qemu-monitor-command" in libvirt.verbs
    assert "snapshot-revert" not in libvirt.verbs


@pytest.mark.parametrize("state", ["shut off", "paused", "crashed"])
def test_a_machine_that_does_not_run_is_reverted_by_libvirt(libvirt, state):
    libvirt.machine("a", state, ["ready"])
    virsh.load("a", "ready")
    assert "snapshot-revert" in libvirt.verbs
    assert virsh.state("a") == "running"


def test_what_qemu_cannot_load_by_itself_is_reverted_by_libvirt(libvirt):
    libvirt.machine("a", checkpoints=["ready"])
    libvirt.complaint = "Error: Device 'drive' does not have the snapshot"
    virsh.load("a", "ready")
    assert "snapshot-revert" in libvirt.verbs
