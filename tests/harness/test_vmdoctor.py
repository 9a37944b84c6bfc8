from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import finding, tool, vmdoctor
from harness.acceleration import Acceleration
from harness.errors import TargetError


class ToyHost:
    """A Debian host: what is installed, whether the daemon answers, and what was run."""

    def __init__(self):
        self.programs = {*vmdoctor.PACKAGES, "apt-get"}
        self.plugins = "vagrant-libvirt (0.11.2, system)"
        self.answers = True
        self.starts = True
        self.ran = []

    def run(self, argv, **_):
        self.ran.append(" ".join(argv))
        status, out = 0, ""
        if argv[0] == "virsh":
            status, out = (0, "Using library: libvirt 9.0.0") if self.answers else (1, "")
        elif argv[:2] == ["vagrant", "plugin"]:
            out = self.plugins
        elif argv[0] == "libvirtd" or argv[:2] == ["systemctl", "start"]:
            self.answers = self.starts
        said = "" if status == 0 else "error: failed to connect to the hypervisor"
        return tool.Done(tuple(argv), status, out, said)


@pytest.fixture
def host(monkeypatch, tmp_path):
    toy = ToyHost()
    monkeypatch.setattr(tool, "run", toy.run)
    monkeypatch.setattr(
        vmdoctor.shutil, "which", lambda name, **_: f"/bin/{name}" if name in toy.programs else None
    )
    monkeypatch.setattr(vmdoctor.os, "geteuid", lambda: 0)
    monkeypatch.setattr(finding.os, "geteuid", lambda: 0)
    monkeypatch.setattr(vmdoctor, "_SYSTEMD", tmp_path / "no-systemd")
    monkeypatch.setattr(vmdoctor, "_UDEV", tmp_path / "no-udev")
    monkeypatch.setattr(vmdoctor.acceleration, "DEVICE", tmp_path / "no-kvm")
    return toy


def named(name):
    return next(found for found in vmdoctor.examine() if found.name == name)


@pytest.mark.usefixtures("host")
def test_a_host_that_has_all_has_no_remedies():
    found = {one.name: one for one in vmdoctor.examine()}
    assert set(found) == {"VM packages", "libvirt", "acceleration", "memory", "disk"}
    assert found["VM packages"].status == found["libvirt"].status == "ok"
    assert found["libvirt"].found == "version 9.0.0 answers at qemu:///system"


def test_missing_packages_are_named_with_one_command_for_all(host):
    host.programs -= {"vagrant", "qemu-img"}
    found = named("VM packages")
    assert found.status == "lacking"
    assert found.remedy == "apt-get install -y vagrant qemu-utils vagrant-libvirt"


def test_a_vagrant_without_the_plugin_is_not_enough(host):
    host.plugins = "No plugins installed."
    assert vmdoctor.missing_packages() == ["vagrant-libvirt"]


def test_a_daemon_that_is_down_comes_with_the_command_that_starts_it(host):
    host.answers = False
    found = named("libvirt")
    assert found.status == "lacking"
    assert found.remedy == "layerfs-conformance doctor --install"


@pytest.mark.usefixtures("host")
def test_acceleration_is_what_the_probe_says(monkeypatch):
    monkeypatch.setattr(vmdoctor, "_some_kernel", lambda: Path("/boot/vmlinuz"))
    for kvm, status in ((True, "ok"), (False, "lacking")):
        answer = Acceleration(kvm=kvm, why="tried it")
        monkeypatch.setattr(vmdoctor.acceleration, "probe", lambda _, answer=answer: answer)
        found = named("acceleration")
        assert found.status == status
        assert found.found.startswith("tried it")


@pytest.mark.usefixtures("host")
def test_without_a_kernel_acceleration_is_not_guessed(monkeypatch):
    monkeypatch.setattr(vmdoctor, "_some_kernel", lambda: None)
    found = named("acceleration")
    assert found.found == "not tried: there is no kernel to boot"
    assert found.remedy == "layerfs-conformance box build debian13"


@pytest.mark.usefixtures("host")
def test_too_little_memory_or_disk_is_lacking(monkeypatch):
    monkeypatch.setattr(vmdoctor, "available_memory_mib", lambda: 100)
    assert named("memory").status == "lacking"
    monkeypatch.setattr(vmdoctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1})())
    assert named("disk").status == "lacking"


def test_install_brings_what_is_missing_and_starts_the_daemons(host):
    host.programs -= {"virsh"}
    host.answers = False
    told = []
    vmdoctor.install(told.append)
    assert told == ["apt-get install libvirt-clients", "starting virtlogd and libvirtd"]
    apt = [line for line in host.ran if line.startswith("apt-get")]
    assert apt[0].endswith(" update")
    assert apt[1].endswith(" install -y --no-install-recommends libvirt-clients")
    assert host.ran.index("virtlogd --daemon") < host.ran.index("libvirtd --daemon")


def test_install_does_nothing_where_nothing_is_missing(host):
    told = []
    vmdoctor.install(told.append)
    assert told == []
    assert not [line for line in host.ran if line.startswith(("apt-get", "libvirtd", "systemctl"))]


def test_with_systemd_the_daemons_are_its_own(host, tmp_path):
    (tmp_path / "no-systemd").mkdir()
    host.answers = False
    vmdoctor.install(lambda _: None)
    assert "systemctl start virtlogd.socket libvirtd.service" in host.ran
    assert "libvirtd --daemon" not in host.ran


def test_daemons_that_still_do_not_answer_are_an_error(host):
    host.answers = host.starts = False
    with pytest.raises(TargetError, match="libvirt does not answer"):
        vmdoctor.install(lambda _: None)


def test_who_is_not_root_is_told_so_before_anything_is_done(host, monkeypatch):
    monkeypatch.setattr(vmdoctor.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(finding.os, "geteuid", lambda: 1000)
    host.answers = False
    with pytest.raises(TargetError, match="needs root: sudo layerfs-conformance doctor --install"):
        vmdoctor.install(lambda _: None)
    assert not [line for line in host.ran if line.startswith(("apt-get", "libvirtd"))]


def test_another_distribution_is_told_what_it_needs(host):
    host.programs -= {"mke2fs", "apt-get"}
    with pytest.raises(TargetError, match="only Debian's packages are known here: e2fsprogs"):
        vmdoctor.install(lambda _: None)


@pytest.fixture
def device(host, tmp_path, monkeypatch):
    assert host
    device = tmp_path / "kvm"
    device.touch(mode=0o600)
    monkeypatch.setattr(vmdoctor.acceleration, "DEVICE", device)
    group = SimpleNamespace(gr_gid=device.stat().st_gid)
    monkeypatch.setattr(vmdoctor.grp, "getgrnam", {"kvm": group}.__getitem__)
    monkeypatch.setattr(vmdoctor.shutil, "chown", lambda *_, **__: None)
    return device


def test_without_udev_qemu_is_let_at_the_kvm_device(device):
    told = []
    vmdoctor.install(told.append)
    assert told == [f"chgrp kvm {device}"]
    assert device.stat().st_mode & 0o777 == 0o660
    vmdoctor.install(told.append)
    assert len(told) == 1


def test_the_kvm_device_is_udevs_where_that_runs(device, tmp_path, monkeypatch):
    monkeypatch.setattr(vmdoctor, "_UDEV", tmp_path)
    vmdoctor.install(pytest.fail)
    assert device.stat().st_mode & 0o777 == 0o600
