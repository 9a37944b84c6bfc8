"""Stores on ZFS: what they know of their datasets, when others or a crash have changed that."""

import contextlib
import signal

import pytest

from conformance import model
from conformance.clauses import SHOULD
from conformance.driver import Driver
from conformance.layers import Dir, File, Layer, Whiteout
from conformance.test_zfs_administrators import of_zfs
from conformance.test_zfs_pools import incompressible
from conformance.test_zfs_views import IN_THE_WAY, drifted
from harness.errors import Refused, SubjectCrashed
from harness.zfsledger import difference

A = Layer(Dir("d"), File("d/a", b"a" * 5000), File("x"))
B = Layer(Dir("d"), File("d/b"), Whiteout("x"))
C = Layer(File("c", b"of another stack"))
DESTROY = "PROTOCOL.md, 5: zfs-dataset-destroy-failed"


def is_empty(host, subject):
    """Whether nothing is left below the store's dataset."""
    left = host.zfs.datasets(subject.dataset), host.zfs.snapshots(subject.dataset)
    return left in (([], []), ([subject.dataset], []))


@of_zfs("ZFS-050", "PROTOCOL.md, open: a dataset that is not this store's")
def test_a_dataset_whose_store_is_lost_is_not_taken_by_a_new_one(subject, host):
    """Where a store's directory is gone, a new one there is not given the dataset, which stays."""
    subject.tree(A, B)
    subject.restart()
    away = subject.path("away")
    host.call("rename", subject.store, away)
    before = host.ledger().zfs
    with subject.refuses("storage-error"):
        subject.call("open", zfs=subject.dataset)
    subject.restart()
    assert difference(before, host.ledger().zfs) == []

    host.remove(subject.store)
    host.call("rename", away, subject.store)
    subject.open()
    assert subject.tree(A, B) == model.apply(A, B)


@of_zfs("ZFS-051", "PROTOCOL.md, 6: check tells what does not agree", needs=("check",))
@pytest.mark.parametrize("what", ["destroyed", "renamed"])
def test_check_tells_that_datasets_have_gone(subject, host, dataset, what):
    """Check tells that a layer's dataset was destroyed or renamed, until it was made again."""
    subject.tree(A, B)
    assert subject.call("check").problems == ()
    for number, name in enumerate(host.zfs.datasets(subject.dataset)[1:]):
        if what == "destroyed":
            host.zfs.destroy(name, clones=True, missing_ok=True)
        else:
            host.zfs.rename(name, f"{dataset}/{number}")
    assert subject.call("check").problems

    if subject.raw.config.declares("repair"):
        assert subject.call("repair").failed == ()
    assert subject.tree(A, B) == model.apply(A, B)
    assert subject.call("check").problems == ()


@of_zfs("ZFS-052", "PROTOCOL.md, 6: never another tree than the layers'")
def test_what_stands_in_a_datasets_place_is_not_shown(subject, host):
    """Where somebody has put other datasets in place of a layer's, they are never shown."""
    subject.tree(A, B)
    names = host.zfs.datasets(subject.dataset)[1:]
    snapshots = host.zfs.snapshots(subject.dataset)
    for name in names:
        host.zfs.destroy(name, clones=True, missing_ok=True)
    for number, name in enumerate(names):
        place = subject.path(f"mounted-{number}")
        host.zfs.create(name, {"mountpoint": place})
        host.write(f"{place}/bad", b"of somebody else")
        host.zfs.set(name, {"mountpoint": "none"})
    for name in snapshots:
        host.zfs.snapshot(name)

    told = subject.tree_or_refusal(A, B, codes=IN_THE_WAY)
    assert told in (None, model.apply(A, B))
    for name in names if told is None else ():
        host.zfs.destroy(name, recursive=True)
    assert subject.tree(A, B) == model.apply(A, B)


@of_zfs("ZFS-053", "PROTOCOL.md, 6: check tells what does not agree", SHOULD, needs=("check",))
@pytest.mark.parametrize("drift", ["readonly=on", "acltype=off"])
def test_check_tells_what_properties_were_changed(subject, host, drift):
    """Check names a dataset whose properties are not what layers need, until they are set back."""
    subject.tree(A)
    names = host.zfs.datasets(subject.dataset)
    with drifted(host, subject, dict([drift.split("=")])):
        problems = subject.call("check").problems
        told = [
            one for one in problems if any(name in f"{one.path} {one.message}" for name in names)
        ]
        assert told
    assert subject.call("check").problems == ()


@of_zfs("ZFS-054", "PROTOCOL.md, 3: killed at any moment; open cleans up after it")
@pytest.mark.parametrize("datasets", [1, 2, 4])
def test_what_a_killed_stack_has_made_is_gone(subject, host, datasets):
    """When stack is killed while it makes datasets, open and remove leave none of them."""
    layers = [Layer(Dir(f"d{n}"), *(File(f"d{n}/f{m}") for m in range(60))) for n in range(4)]
    target, digests = subject.path("view"), [subject.add(layer) for layer in layers]
    before = len(host.zfs.datasets(subject.dataset))
    stacking = subject.begin("stack", digests=digests, target=target)
    for _ in range(100):
        if len(host.zfs.datasets(subject.dataset)) >= before + datasets:
            break
    stacking.signal(signal.SIGKILL)
    with contextlib.suppress(SubjectCrashed):
        stacking.result()

    subject.restart()
    subject.open()
    if subject.is_mounted(target):
        subject.unmount(target)
    for digest in reversed(digests):
        assert subject.call("remove", digest=digest).removed
    assert is_empty(host, subject)
    for layer in layers:
        subject.add(layer)
    assert subject.tree(*layers) == model.apply(*layers)


@of_zfs("ZFS-055", "PROTOCOL.md, concurrent; 2: all that it keeps", needs=("concurrent",))
def test_processes_that_make_the_same_stack_leave_one(subject, host):
    """Two processes that stack new layers at once both succeed, and all goes with the layers."""
    layers = [Layer(Dir(f"d{n}"), *(File(f"d{n}/f{m}") for m in range(20))) for n in range(4)]
    digests = [subject.add(layer) for layer in layers]
    targets = [subject.path("view") for _ in range(2)]
    stacking = [subject.begin("stack", digests=digests, target=target) for target in targets]
    for pending in stacking:
        pending.result()
    for target in targets:
        assert host.tree(target) == model.apply(*layers)
        subject.unmount(target)

    for digest in reversed(digests):
        assert subject.call("remove", digest=digest).removed
    assert is_empty(host, subject)


@of_zfs("ZFS-056", "PROTOCOL.md, 7: bookmarks of others; zfs-bookmark(8)", SHOULD)
def test_a_bookmark_of_somebody_else_is_left_alone(subject, host):
    """A layer of whose snapshots somebody has bookmarks is not removed: the error names one."""
    subject.tree(A, B)
    taken = [name.replace("@", "#mine-") for name in host.zfs.snapshots(subject.dataset)]
    if not taken:
        pytest.skip("target: the store has no zfs snapshots")
    for snapshot, bookmark in zip(host.zfs.snapshots(subject.dataset), taken, strict=True):
        assert host.run(["zfs", "bookmark", snapshot, bookmark]).status == 0
    with subject.refuses("zfs-dataset-destroy-failed") as refused:
        for layer in (B, A):
            subject.call("remove", digest=layer.digest)

    assert refused.holder in taken
    assert set(taken) <= set(host.ledger().zfs.entries)
    for bookmark in taken:
        assert host.run(["zfs", "destroy", bookmark]).status == 0
    for layer in (B, A):
        assert subject.call("remove", digest=layer.digest).removed


#: Sends a snapshot, waits after the first byte, and ends as ``zfs send`` does.
SENDING = """
exec 3<&0
set -o pipefail
zfs send "$0" | { head -c 1 >/dev/null; echo sending; read -r go <&3; cat >/dev/null; }
"""


@of_zfs("ZFS-057", f"{DESTROY}: being sent; zfs-send(8)")
def test_a_layer_that_is_being_sent_is_whole_or_removed_afterwards(subject, host):
    """While somebody sends a layer's snapshot, remove is refused, or waits: the stream is whole."""
    layer = Layer(File("large", incompressible(4 << 20)))
    subject.tree(layer)
    made = host.zfs.snapshots(subject.dataset)
    if not made:
        pytest.skip("target: the store has no zfs snapshots")
    with host.remote.start(["bash", "-c", SENDING, made[-1]]) as sending:
        assert sending.read_line(60) == b"sending"
        try:
            subject.call("remove", digest=layer.digest)
        except Refused as refused:
            if refused.code != "zfs-dataset-destroy-failed":
                raise
            assert subject.tree(layer) == model.apply(layer)
        sending.send_line(b"go")
        assert sending.finish(timeout=60).status == 0
    subject.call("remove", digest=layer.digest)
    assert layer.digest not in subject.digests()
    assert is_empty(host, subject)


@of_zfs("ZFS-058", "PROTOCOL.md, 5: read-only-filesystem; zpool-import(8), readonly")
def test_a_pool_imported_read_only_is_told_as_such(subject, host):
    """In a pool that was imported read-only a store shows its layers, or says that it cannot."""
    subject.tree(A, B)
    subject.call("close")
    subject.restart()
    before = host.ledger().zfs.entries
    with host.zfs.exported():
        host.zfs.import_pool(readonly=True)
        try:
            subject.open()
            assert subject.digests() == {A.digest, B.digest}
            assert subject.tree(A, B) == model.apply(A, B)
        except Refused as refused:
            if refused.code != "read-only-filesystem":
                raise
        finally:
            subject.restart()
            host.zfs.export_pool()
    assert host.ledger().zfs.entries == before
    subject.open()
    assert subject.tree(A, B) == model.apply(A, B)


@of_zfs("ZFS-059", "PROTOCOL.md, 6: import without mounting; zpool-import(8), -N", SHOULD)
def test_a_pool_imported_without_mounting_serves(subject, host):
    """A store whose pool was exported, and imported without mounting anything, works as before."""
    subject.tree(A, B)
    subject.call("close")
    subject.restart()
    with host.zfs.exported():
        host.zfs.import_pool(mount=False)
        subject.open()
        assert subject.tree(A, B) == model.apply(A, B)
        assert subject.tree(A, C) == model.apply(A, C)
        assert subject.call("remove", digest=B.digest).removed
    assert subject.tree(A) == model.apply(A)


@of_zfs("ZFS-070", "PROTOCOL.md, 5: zfs-dataset-create-failed, its name would be too long")
@pytest.mark.parametrize("length", [150, 200, 250, 255, 256])
def test_a_long_name_works_or_is_refused_as_too_long(subject, host, dataset, length):
    """A store with a dataset of a long name works, or is refused by name with nothing made."""
    directory = host.tmp("case")
    other = Driver(subject.raw, host, directory, f"{directory}/store")
    other.dataset = f"{dataset}/".ljust(length, "x")
    try:
        other.open()
    except Refused as refused:
        if refused.code != "zfs-dataset-create-failed" and length < 256:
            raise
        assert host.zfs.datasets(dataset) == [dataset]
        host.remove(directory)
        return
    try:
        assert other.tree(A, B) == model.apply(A, B)
    except Refused as refused:
        if refused.code != "zfs-dataset-create-failed":
            raise
        assert host.zfs.datasets(dataset) == [dataset, other.dataset]
    other.end()


@of_zfs("ZFS-071", "PROTOCOL.md, open; 5: zfs-dataset-create-failed, its parent is a volume")
@pytest.mark.parametrize("what", ["parent", "itself"])
def test_a_volume_is_no_place_for_a_store(subject, host, dataset, what):
    """A volume is neither a store's dataset nor its parent, and is left as it is."""
    volume = host.zfs.create_volume(f"{dataset}/volume")
    before = host.ledger().zfs
    other = Driver(subject.raw, host, subject.directory, subject.path("other"))
    codes = {"parent": "zfs-dataset-create-failed", "itself": "storage-error"}

    with subject.refuses(codes[what]):
        other.open(zfs=volume if what == "itself" else f"{volume}/store")
    assert difference(before, host.ledger().zfs) == []
    assert not host.exists(other.store)


@of_zfs("ZFS-072", "PROTOCOL.md, stats", SHOULD, needs=("stats",))
def test_the_size_of_a_store_has_what_its_datasets_take(subject, host):
    """A store's size grows and shrinks by no less than the space of its datasets does."""
    large = Layer(File("large", incompressible(4 << 20)))
    subject.tree(A)
    total, used = sizes(subject, host)
    subject.tree(large)
    subject.tree(A, large)
    total_with, used_with = sizes(subject, host)
    assert total_with - total > used_with - used - (1 << 20)

    subject.call("remove", digest=large.digest)
    total_without, used_without = sizes(subject, host)
    assert abs(total_without - total) < 1 << 20
    assert abs(used_without - used) < 1 << 20


def sizes(subject, host):
    """Return the bytes that a store says it has, and that its datasets use."""
    used = host.zfs.space(subject.dataset)["used"]  # waits until all is written and freed
    return subject.call("stats").bytes_total, used


@of_zfs("ZFS-073", "PROTOCOL.md, remove; zfs-clone(8), origin")
def test_a_layer_below_others_is_removed_from_under_them(subject, host):
    """A layer in the middle of stacks is removed with its space; stacks without it stay whole."""
    large = Layer(File("large", incompressible(4 << 20)))
    with subject.stacked(A, C) as root:
        before = host.zfs.space(subject.dataset)["used"]
        assert subject.tree(A, large, B) == model.apply(A, large, B)
        assert subject.tree(A, large, C) == model.apply(A, large, C)
        assert subject.call("remove", digest=large.digest).removed

        assert host.zfs.space(subject.dataset)["used"] - before < 1 << 20
        assert host.tree(root) == model.apply(A, C)
    assert subject.tree(A, B) == model.apply(A, B)


@of_zfs("ZFS-074", "zpool-scrub(8); zpoolprops(7), health", SHOULD, needs=("writable",))
def test_a_view_outlives_half_of_its_pool(subject, host):
    """A view serves on when half of a mirror goes offline, and a scrub finds nothing wrong."""
    with subject.stacked(A, B, writable=True) as root:
        with host.zfs.degraded():
            host.write(f"{root}/new", incompressible(1 << 20))
            assert host.tree(root)["d/a"] == model.apply(A, B)["d/a"]
            assert host.run(["zpool", "scrub", "-w", host.zfs.pool]).status == 0
            told = host.run(["zpool", "status", "-p", host.zfs.pool]).stdout
        assert b"No known data errors" in told
        assert b"with 0 errors" in told
    assert subject.tree(A, B) == model.apply(A, B)
