"""Stores on ZFS: where they keep what is theirs, and what of the pool they leave alone."""

import pytest

from conformance import model
from conformance.clauses import MUST, clause
from conformance.driver import Driver
from conformance.layers import Dir, File, Layer, Whiteout
from harness.ledger import difference

A = Layer(Dir("d"), File("d/a"), File("x"))
B = Layer(Dir("d"), File("d/b"), Whiteout("x"), compression="gzip")
IN_THE_WAY = "zfs-dataset-destroy-failed"


def of_zfs(id_, source, **more):
    """Return the decorator of a clause about stores that have a dataset, MUST."""
    return clause(id_, MUST, source, profile="zfs", needs=("zfs",), **more)


@of_zfs("ZFS-001", "PROTOCOL.md, 2: all that the store keeps on ZFS lies at or below that dataset")
def test_a_stores_datasets_are_at_or_below_its_own(subject_at, host):
    """All that a store makes in the pool, while it works, is its dataset or below that."""
    before = host.ledger().zfs.entries.keys()
    subject = subject_at("store")
    assert host.zfs.exists(subject.dataset)
    with subject.stacked(A, B) as root:
        assert host.tree(root) == model.apply(A, B)
        new = host.ledger().zfs.entries.keys() - before
        assert {name for name in new if not below(name, subject.dataset)} == set()
    new = host.ledger().zfs.entries.keys() - before
    assert {name for name in new if not below(name, subject.dataset)} == set()


def below(name, dataset):
    """Whether a dataset, snapshot or bookmark is at or below a dataset."""
    return name == dataset or name.startswith((f"{dataset}/", f"{dataset}@", f"{dataset}#"))


@of_zfs("ZFS-002", "PROTOCOL.md, 2: close leaves the datasets, and none of them mounted")
def test_close_leaves_the_datasets_and_none_of_them_mounted(subject, host):
    """After close nothing of the store's datasets is mounted anywhere, and its layers are there."""
    root = subject.stack(A, B)
    subject.unmount(root)
    before = set(host.zfs.datasets(subject.dataset))
    subject.call("close")
    subject.restart()

    assert [mount for mount in host.ledger().mounts if below(mount.source, subject.dataset)] == []
    assert subject.dataset in before & set(host.zfs.datasets(subject.dataset))
    subject.call("open")
    assert subject.digests() == {A.digest, B.digest}
    assert subject.tree(A, B) == model.apply(A, B)


@of_zfs("ZFS-003", "PROTOCOL.md, 7; reported as containerd/zfs#70")
def test_a_snapshot_of_somebody_else_is_left_alone(subject, host):
    """What somebody has taken a snapshot of is not destroyed, whatever is removed."""
    subject.tree(A, B)
    taken = {host.zfs.snapshot(f"{name}@daily") for name in host.zfs.datasets(subject.dataset)}

    subject.remove_if_free(B, A, code=IN_THE_WAY)
    assert taken <= set(host.zfs.snapshots(subject.dataset))
    subject.is_whole(A, B)


@of_zfs("ZFS-004", "PROTOCOL.md, open")
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("missing/store", "zfs-dataset-not-found"),
        ("../store", "validation-error"),
        ("store@snapshot", "validation-error"),
        ("-r", "validation-error"),
        ("", "validation-error"),
    ],
    ids=["no parent", "dots", "snapshot", "option", "empty"],
)
def test_a_dataset_that_cannot_be_the_stores_is_refused(subject, host, pool, name, code):
    """A dataset without a parent, or a name that is none, is refused, and nothing is made."""
    before = host.ledger()
    other = Driver(subject.raw, host, subject.directory, subject.path("other"))

    with subject.refuses(code):
        other.open(zfs=name if name.startswith("-") else f"{pool}/{name}")
    lines = difference(before, host.ledger())
    assert [line for line in lines if subject.store not in line] == []


@of_zfs("ZFS-005", "PROTOCOL.md, open: neither empty nor this store's")
def test_a_dataset_of_somebody_else_is_not_taken_over(subject, host, dataset):
    """A dataset with something below it that the store has not made is refused, and left as is."""
    host.zfs.create(f"{dataset}/precious")
    before = host.ledger()
    other = Driver(subject.raw, host, subject.directory, subject.path("other"))

    with subject.refuses("storage-error"):
        other.open(zfs=dataset)
    lines = difference(before, host.ledger())
    assert [line for line in lines if subject.store not in line] == []
