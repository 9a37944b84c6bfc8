from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.packages import BenchError
from benchmarks.zfs import contenders, rows
from benchmarks.zfs.contenders import ContainersStorage, Ctr, Layerfs, mount_command


@pytest.fixture
def called(monkeypatch):
    """The commands that were run, as text; each takes a second, and says where it has mounted."""
    commands = []

    def run(command, stdout=None):
        words = [str(word) for word in command]
        commands.append(" ".join(words))
        if stdout is not None:
            text = "mount -t zfs pool/containerd/21 /t -o " if words[0] == "ctr" else "/mounted\n"
            stdout.write_text(text)
        return 1.0

    monkeypatch.setattr(contenders, "seconds", run)
    monkeypatch.setattr(contenders, "run", run)
    return commands


class Pool:
    """A dataset that is there when it is first asked for, and gone then."""

    def __init__(self):
        self.asked = []

    def exists(self, name):
        self.asked.append(name)
        return len(self.asked) == 1


def test_containerd_prepares_and_mounts_what_it_prints(called, tmp_path):
    pool = Pool()
    one = Ctr(peers.Containerd(Path("/s")), pool, tmp_path)
    one.fill(Path("/i.tar"), ["sha256:" + "a" * 64])
    snapshots = "ctr -a /s -n bench snapshots --snapshotter zfs"
    steps = one.make()
    assert called[1:] == [
        f"{snapshots} prepare --target {tmp_path}/view view-0 sha256:{'a' * 64}",
        "mount -t zfs pool/containerd/21 /t",
    ]
    steps |= one.remove()
    assert called[3:] == [
        f"umount {tmp_path}/view",
        f"{snapshots} rm view-0",
    ]
    assert pool.asked == ["pool/containerd/21"] * 2
    assert {*steps, *one.bare()} == {"prepare", "mount", "umount", "rm", "collected", "bare"}


def test_containers_storage_makes_a_container_and_mounts_it(called, tmp_path):
    one = ContainersStorage("pool", tmp_path)
    one.fill(2)
    steps = one.make() | one.remove() | one.bare()
    assert one.target == Path("/mounted")
    where = f"--graph {tmp_path}/storage --run {tmp_path}/run --storage-driver zfs"
    before = f"containers-storage {where} --storage-opt zfs.fsname=pool/containers-storage"
    assert [command.removeprefix(before) for command in called] == [
        "zfs create -o mountpoint=none pool/containers-storage",
        f" import-layer --readonly --id layer-0 --file {tmp_path}/0.tar",
        f" import-layer --readonly --id layer-1 --file {tmp_path}/1.tar layer-0",
        " create-image --name chain layer-1",
        " create-container --name view-0 chain",
        " mount view-0",
        " unmount view-0",
        " delete-container view-0",
        " images",
    ]
    assert set(steps) == {"create-container", "mount", "unmount", "delete-container", "bare"}


def test_every_view_has_a_name_of_its_own(called, tmp_path):
    one = ContainersStorage("pool", tmp_path)
    one.make()
    one.make()
    assert called[-1].endswith("view-1")


def test_all_steps_that_are_compared_are_taken(called, tmp_path):
    ctr = Ctr(peers.Containerd(Path("/s")), Pool(), tmp_path)
    taken = {
        rows.CTR: ctr.make() | ctr.remove(),
        rows.CONTAINERS_STORAGE: (one := ContainersStorage("pool", tmp_path)).make() | one.remove(),
    }
    for work in (*rows._MAKING, *rows._REMOVING):
        assert set(work.steps) <= set(taken[work.who])
    assert called


def test_layerfs_is_asked_once_for_a_view_and_once_to_remove_it():
    class Asked:
        def stack(self, target, *, writable):
            return float(writable and target == Path("/t"))

        def unmount(self, target):
            return 2.0 * (target == Path("/t"))

    one = Layerfs(Asked(), Path("/t"))
    assert (one.make(), one.remove(), one.bare()) == ({"stack": 1.0}, {"unmount": 2.0}, {})


def test_options_of_a_mount_are_kept():
    said = "mount -t zfs p/1 /t -o ro,nosuid\n"
    assert mount_command(said) == ["mount", "-t", "zfs", "p/1", "/t", "-o", "ro,nosuid"]


@pytest.mark.parametrize("said", ["", "mount -t overlay overlay /t -o lowerdir=/a", "what?"])
def test_what_is_no_mount_of_a_dataset_is_an_error(said):
    with pytest.raises(BenchError, match="prints no mount"):
        mount_command(said)
