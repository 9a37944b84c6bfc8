from types import SimpleNamespace

import pytest

from harness import fleet as fleets
from harness import vagrant_machine
from harness.acceleration import Acceleration
from harness.errors import TargetError
from harness.filelock import FileLock
from harness.fleet import Fleet
from harness.machine import Shape
from harness.vmrun import VmRun

from . import toyvirt


@pytest.fixture
def libvirt(tmp_path, monkeypatch):
    return toyvirt.install(tmp_path, monkeypatch)


@pytest.fixture
def fleet(libvirt, tmp_path, monkeypatch):
    monkeypatch.setattr(vagrant_machine, "_greets", lambda _: True)
    run = VmRun.begin()
    paths = {part: tmp_path / part for part in ("image", "kernel", "initrd")}
    for path in paths.values():
        path.touch()
    box = SimpleNamespace(**paths, cmdline="")
    fleet = Fleet(run, box, Shape(), Acceleration(kvm=False, why="tried"))
    yield fleet
    run.leave()
    assert libvirt.domains == {}


def test_each_gets_a_machine_of_its_own(fleet):
    first, second = fleet.lease(), fleet.lease()
    assert first.machine.name.endswith("-0")
    assert second.machine.name.endswith("-1")
    first.release()
    first.release()
    again = fleet.lease()
    assert again.machine.name == first.machine.name
    second.release()
    again.release()


def test_whoever_takes_a_lease_next_finds_the_machine_as_it_was(fleet):
    lease = fleet.lease()
    fleet.bring_up(lease.machine)
    lease.machine.checkpoint()
    lease.release()
    again = fleet.lease()
    assert again.machine.is_running()
    assert again.machine.is_ready
    assert again.machine.address == lease.machine.address
    again.release()


def test_a_machine_that_is_brought_up_again_is_a_new_one(fleet):
    lease = fleet.lease()
    fleet.bring_up(lease.machine)
    lease.machine.checkpoint()
    key = lease.machine.address.host_key
    fleet.bring_up(lease.machine)
    assert not lease.machine.is_ready
    assert lease.machine.address.host_key != key
    lease.release()


def test_machines_are_made_one_at_a_time(fleet, monkeypatch):
    monkeypatch.setattr(fleets, "_TURN", 0.0)
    lease = fleet.lease()
    with (
        FileLock(fleet._run.folder / "up.lock"),
        pytest.raises(TargetError, match="vagrant was not free"),
    ):
        fleet.bring_up(lease.machine)
    lease.release()


def test_too_little_memory_is_told_before_anything_is_made(fleet, monkeypatch):
    monkeypatch.setattr(fleets, "available_memory_mib", lambda: 1000)
    lease = fleet.lease()
    with pytest.raises(TargetError, match=r"needs 1280 MiB of memory, and 1000 MiB are .*\(-n\)$"):
        fleet.bring_up(lease.machine)
    assert not lease.machine.folder.exists()
    lease.release()


def test_too_little_disk_is_told_before_anything_is_made(fleet, monkeypatch):
    monkeypatch.setattr(fleets.shutil, "disk_usage", lambda _: SimpleNamespace(free=500 << 20))
    lease = fleet.lease()
    with pytest.raises(TargetError, match=r"needs 3072 MiB of disk, .* has 500 MiB: make room"):
        fleet.bring_up(lease.machine)
    assert not lease.machine.folder.exists()
    lease.release()


def test_available_memory_is_read_from_the_kernel():
    assert 0 < fleets.available_memory_mib() < 1 << 30
