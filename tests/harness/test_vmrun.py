import stat
import subprocess

import pytest

from harness import virsh, vmrun
from harness.errors import TargetError
from harness.vmrun import VmRun

from . import toyvirt


@pytest.fixture
def libvirt(tmp_path, monkeypatch):
    return toyvirt.install(tmp_path, monkeypatch)


def _made_by(libvirt, run, number=0):
    folder = vmrun.base() / run / f"machine-{number}"
    name = f"{run}-{number}"
    disks = [str(folder / "root.qcow2")]
    libvirt.machine(name, disks=disks)
    libvirt.pools[name] = str(folder)
    return name


def test_a_run_leaves_nothing_at_all(libvirt):
    run = VmRun.begin()
    _made_by(libvirt, run.name)
    (run.folder / "machine-0").mkdir()
    run.leave()
    run.leave()
    assert not vmrun.base().exists()
    assert libvirt.domains == libvirt.pools == {}


@pytest.mark.usefixtures("libvirt")
def test_the_folder_can_be_entered_by_others_and_not_be_listed():
    run = VmRun.begin()
    assert stat.S_IMODE(run.folder.stat().st_mode) == 0o711
    run.leave()


def test_a_run_lasts_as_long_as_any_process_of_it(libvirt):
    run = VmRun.begin()
    other = VmRun(run.name)
    name = _made_by(libvirt, run.name)
    run.leave()
    assert list(libvirt.domains) == [name]
    other.leave()
    assert libvirt.domains == {}


def test_what_a_child_of_a_dead_run_still_makes_is_left_to_it(libvirt):
    run = VmRun.begin()
    name = _made_by(libvirt, run.name)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[run.held]) as child:
        run.leave()
        assert list(libvirt.domains) == [name]
        child.communicate()
    assert vmrun.sweep() == [run.name]
    assert libvirt.domains == {}


def test_a_new_run_sweeps_what_a_killed_one_left(libvirt):
    dead = VmRun.begin()
    _made_by(libvirt, dead.name, 0)
    _made_by(libvirt, dead.name, 1)
    dead._lock.release()  # as the kernel does at SIGKILL
    run = VmRun.begin()
    assert libvirt.domains == libvirt.pools == {}
    assert [folder.name for folder in vmrun.base().iterdir()] == [run.name]
    run.leave()


def test_machines_of_a_run_whose_folder_has_gone_are_swept_too(libvirt):
    vmrun.base().mkdir()
    _made_by(libvirt, "layerfs-0123abcd")
    assert vmrun.sweep() == ["layerfs-0123abcd"]
    assert libvirt.domains == libvirt.pools == {}


def test_nobody_elses_machines_are_touched(libvirt, tmp_path):
    vmrun.base().mkdir()
    for name in ("debian", "layerfs-0123abcd-0", "layerfs-docs", "xlayerfs-0123abcd-0"):
        libvirt.machine(name, disks=[tmp_path / "x" / "root.qcow2"])
    libvirt.pools["default"] = "/var/lib/libvirt/images"
    libvirt.pools["layerfs-0123abcd-0"] = "/srv/layerfs"
    before = dict(libvirt.domains), dict(libvirt.pools)
    VmRun.begin().leave()
    assert (libvirt.domains, libvirt.pools) == before


def test_what_cannot_be_taken_away_is_told_and_tried_again(libvirt):
    run = VmRun.begin()
    _made_by(libvirt, run.name)
    libvirt.fails["destroy"] = "Device or resource busy"
    with pytest.raises(TargetError, match="busy"):
        run.leave()
    del libvirt.fails["destroy"]
    assert vmrun.sweep() == [run.name]
    assert not vmrun.base().exists()


def test_without_a_daemon_no_run_begins_and_nothing_is_left(libvirt):
    libvirt.fails["virsh"] = "failed to connect to the hypervisor"
    with pytest.raises(virsh.LibvirtUnreachableError):
        VmRun.begin()
    assert not vmrun.base().exists()


def test_leftovers_stay_known_while_the_daemon_is_down(libvirt):
    run = VmRun.begin()
    libvirt.fails["virsh"] = "failed to connect to the hypervisor"
    with pytest.raises(virsh.LibvirtUnreachableError):
        run.leave()
    assert run.folder.exists()


def test_sweeping_where_there_never_was_a_run_needs_no_libvirt(tmp_path, monkeypatch):
    monkeypatch.setenv("LAYERFS_VM_FOLDER", str(tmp_path / "vm"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert vmrun.sweep() == []


@pytest.mark.usefixtures("libvirt")
def test_a_run_that_has_ended_cannot_be_joined():
    with pytest.raises(TargetError, match=r"^the run layerfs-00000000 has ended"):
        VmRun("layerfs-00000000")


@pytest.mark.usefixtures("libvirt")
def test_a_folder_of_somebody_elses_making_is_refused(tmp_path):
    (tmp_path / "else").mkdir()
    vmrun.base().symlink_to(tmp_path / "else")
    with pytest.raises(TargetError, match="is not a directory of this user"):
        VmRun.begin()
    assert list((tmp_path / "else").iterdir()) == []
