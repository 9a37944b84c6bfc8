"""The driver's and the disks' part in ZFS, with a subject and a host that only take notes."""

from __future__ import annotations

import contextlib
import errno
from types import SimpleNamespace

import pytest

from conformance.disks import on_dataset, on_disk
from conformance.driver import Driver
from harness.errors import Refused
from harness.protocol import Error
from harness.zfs import ZfsError

POOL = "layerfs-0123abcd"


class Zfs:
    pool = POOL

    def __init__(self, notes):
        self.notes = notes
        self.mounted = []
        self.refuses = None

    def mounts(self, root):
        assert root.startswith(f"{POOL}/")
        return [SimpleNamespace(target=target) for target in self.mounted]

    def wipe(self, name):
        self.notes.append(f"destroy {name}")
        if self.refuses:
            raise self.refuses

    def create(self, name, properties):
        self.notes.append(f"create {name} {properties}")

    def set(self, name, properties):
        self.notes.append(f"set {name} {properties}")

    def space(self, _):
        return {"available": 7}

    @contextlib.contextmanager
    def dataset(self, stem, properties):
        self.notes.append(f"dataset {stem} {properties}")
        yield f"{POOL}/{stem}-1"
        self.notes.append("dataset gone")


class Host:
    workdir = "/t/work"

    def __init__(self):
        self.notes = []
        self.zfs = Zfs(self.notes)
        self.busy = False

    def tmp(self, name):
        return f"{self.workdir}/{name}-1"

    def exists(self, _):
        return True

    def mounts(self):
        return []

    def mkdir(self, path):
        return path

    def remove(self, path):
        self.notes.append(f"remove {path}")

    def disk(self, _):
        return {"free": 5}

    def run(self, argv):
        self.notes.append(" ".join(argv))
        return SimpleNamespace(status=0, stderr=b"")

    @contextlib.contextmanager
    def mount_tmpfs(self, path, size):
        self.notes.append(f"tmpfs {path} {size}")
        yield path
        if self.busy:
            raise OSError(errno.EBUSY, "busy", path)


class Subject:
    def __init__(self, notes, *capabilities):
        self.notes = notes
        self.config = SimpleNamespace(declares=lambda *names: set(names) <= set(capabilities))
        self.refuses = ()

    def call(self, verb, **fields):
        self.notes.append((verb, fields))
        if verb in self.refuses:
            raise Refused(Error(code="storage-error", message="no"), verb=verb)
        return SimpleNamespace(store=fields["store"])


@pytest.fixture
def host():
    return Host()


def subject(host, *capabilities):
    return Subject(host.notes, *capabilities)


STORE = "/t/work/case-1/my store"
DATASET = f"{POOL}/case-1-my-store"


def test_a_store_has_a_dataset_only_where_the_subject_takes_one(host):
    plain = Driver(subject(host, "gc"), host, "/t/work/case-1", STORE)
    plain.open()
    plain.end()
    assert plain.dataset == ""
    assert host.notes == [
        ("open", {"store": STORE}), ("close", {"store": STORE}), "remove /t/work/case-1",
    ]  # fmt: skip


def test_open_names_the_dataset_and_the_end_destroys_it(host):
    driver = Driver(subject(host, "zfs"), host, "/t/work/case-1", STORE)
    driver.open()
    driver.call("list")
    driver.end()
    assert driver.dataset == DATASET
    assert host.notes == [
        ("open", {"store": STORE, "zfs": DATASET}), ("list", {"store": STORE}),
        ("close", {"store": STORE}), f"destroy {DATASET}", "remove /t/work/case-1",
    ]  # fmt: skip


def test_what_is_still_mounted_of_it_fails_and_the_rest_is_done(host):
    host.zfs.mounted = ["/t/work/case-1/view"]
    driver = Driver(subject(host, "zfs"), host, "/t/work/case-1", STORE)
    with pytest.raises(AssertionError, match="dataset, still mounted after close: /t/work/case-1"):
        driver.end()
    assert host.notes[-1] == "remove /t/work/case-1"


def test_a_dataset_that_does_not_go_is_the_subjects_fault(host):
    host.zfs.refuses = ZfsError(None, "zfs destroy x: dataset is busy")
    driver = Driver(subject(host, "zfs"), host, "/t/work/case-1", STORE)
    with pytest.raises(AssertionError, match="cannot be destroyed after close: zfs destroy x"):
        driver.end()
    assert host.notes[-1] == "remove /t/work/case-1"


def test_a_case_may_name_another_dataset(host):
    Driver(subject(host, "zfs"), host, "/t/work/case-1", STORE).open(zfs="other/x")
    assert host.notes[0] == ("open", {"store": STORE, "zfs": "other/x"})


# --- disks ---------------------------------------------------------------------------------------


def test_a_small_disk_is_all_that_a_plain_store_has(host):
    with on_disk(subject(host), host, 8) as small:
        assert small.free() == 5
        small.resize(64)
    assert host.notes[0] == "tmpfs /t/work/disk-1 8m"
    assert "mount -o remount,size=64m /t/work/disk-1" in host.notes
    assert host.notes[-2:] == ["remove /t/work/disk-1/case", "remove /t/work/disk-1"]


def test_a_store_with_a_dataset_has_half_of_it_there(host):
    with on_disk(subject(host, "zfs"), host, 8) as small:
        assert small.free() == 12
        small.resize(64)
    dataset = f"{POOL}/disk-1-case-store"
    assert host.notes[0] == "tmpfs /t/work/disk-1 4m"
    assert host.notes[1] == f"create {dataset} {{'quota': '4m'}}"
    assert f"set {dataset} {{'quota': '32m'}}" in host.notes
    assert f"destroy {dataset}" in host.notes


def test_who_still_uses_a_disk_is_at_fault(host):
    host.busy = True
    with (
        pytest.raises(AssertionError, match="still uses the store's file system after close"),
        on_disk(subject(host), host, 8),
    ):
        pass
    assert host.notes[-1] == "remove /t/work/disk-1"


def test_what_failed_first_is_what_is_told(host):
    host.busy = True
    with pytest.raises(AssertionError, match=r"^first$"), on_disk(subject(host), host, 8):
        raise AssertionError("first")


def test_a_store_may_lie_on_a_dataset(host):
    with on_dataset(subject(host), host, {"atime": "off"}) as driver:
        assert driver.store == "/t/work/zfs-1/case/store"
    assert host.notes[0] == ("dataset directory {'mountpoint': '/t/work/zfs-1', 'atime': 'off'}")
    assert host.notes[-2:] == ["dataset gone", "remove /t/work/zfs-1"]


def test_a_store_that_cannot_be_opened_leaves_no_disk(host):
    unwilling = subject(host, "zfs")
    unwilling.refuses = ("open", "close")
    for make in (lambda: on_disk(unwilling, host, 8), lambda: on_dataset(unwilling, host)):
        host.notes.clear()
        with pytest.raises(Refused), make():
            pass
        assert host.notes[-1].startswith("remove /t/work/")
        assert any(f"destroy {POOL}/" in str(note) for note in host.notes)
