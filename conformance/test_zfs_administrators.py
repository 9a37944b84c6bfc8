"""Stores on ZFS, where others snapshot, hold, clone, mount, rename and destroy: sanoid and people.

What a store did not make it neither destroys nor changes; it says by name what is in its way, and
goes on with everything else. What it did make it can make again.
"""

import contextlib

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import Dir, File, Layer, Whiteout
from conformance.test_zfs import IN_THE_WAY, below

A = Layer(Dir("d"), File("d/a", b"a" * 5000), File("x"))
B = Layer(Dir("d"), File("d/b"), Whiteout("x"))
C = Layer(File("c", b"of another stack"))
DESTROY = f"PROTOCOL.md, 5: {IN_THE_WAY}"


def of_zfs(id_, source, level=MUST, **more):
    """Return the decorator of a clause about stores that have a dataset."""
    return clause(id_, level, source, profile="zfs", needs=("zfs", *more.pop("needs", ())), **more)


def trees_of(host, subject):
    """Return the zfs snapshots that a store has made so far."""
    return host.zfs.snapshots(subject.dataset)


@contextlib.contextmanager
def kept(subject, host, dataset, how):
    """Keep a store's layers for the block, as somebody else may; give what a refusal may name."""
    made = trees_of(host, subject)
    if not made and how != "snapshot":
        pytest.skip("target: the store has no zfs snapshots")
    if how == "snapshot":
        taken = [host.zfs.snapshot(f"{name}@daily") for name in host.zfs.datasets(subject.dataset)]
        yield taken
        for snapshot in taken:
            host.zfs.destroy(snapshot)
    elif how == "hold":
        for snapshot in made:
            host.zfs.hold(snapshot, "keep")
        yield [f"{snapshot} keep" for snapshot in made]
        for snapshot in made:
            host.zfs.release(snapshot, "keep")
    elif how == "clone":
        clones = [host.zfs.clone(name, f"{dataset}/{n}") for n, name in enumerate(made)]
        yield clones
        for clone in clones:
            host.zfs.destroy(clone)
    else:
        place = host.mkdir(subject.path("mounted"))
        host.run(["mount", "-t", "zfs", made[0], place])
        try:
            yield [place]
        finally:
            host.run(["umount", place])


@of_zfs("ZFS-010", f"{DESTROY}; zfs-hold(8)")
def test_a_hold_of_somebody_else_stays(subject, host, dataset):
    """A snapshot that somebody holds stays, with its hold, whatever is removed."""
    subject.tree(A)
    made = trees_of(host, subject)
    with kept(subject, host, dataset, "hold"):
        subject.remove_if_free(A, code=IN_THE_WAY)
        assert [host.zfs.holds(snapshot) for snapshot in made] == [["keep"]] * len(made)
        subject.is_whole(A)

    subject.call("remove", digest=A.digest)
    assert subject.digests() == set()


@of_zfs("ZFS-011", f"{DESTROY}; zfs-clone(8)")
def test_a_clone_of_somebody_else_is_left_as_it_is(subject, host, dataset):
    """A clone that somebody has made of a layer is left as it is, whatever is removed."""
    subject.tree(A)
    with kept(subject, host, dataset, "clone") as clones:
        origins = [host.zfs.get(one, "origin") for one in clones]
        subject.remove_if_free(A, code=IN_THE_WAY)
        assert [host.zfs.get(one, "origin") for one in clones] == origins
        subject.is_whole(A)

    subject.call("remove", digest=A.digest)
    assert subject.digests() == set()


@of_zfs("ZFS-012", "PROTOCOL.md, gc: errors; reported as containerd/zfs#71", needs=("gc",))
def test_garbage_collection_goes_on_past_what_others_keep(subject, host):
    """A layer that a foreign snapshot keeps is told among the errors; the others are removed."""
    subject.tree(A)
    taken = [host.zfs.snapshot(f"{name}@daily") for name in host.zfs.datasets(subject.dataset)]
    subject.tree(C)
    answer = subject.call("gc")

    assert {one.digest for one in answer.removed} == {C.digest}
    assert {one.digest for one in answer.errors} == {A.digest}
    assert {one.code for one in answer.errors} == {"zfs-dataset-destroy-failed"}
    assert set(taken) <= set(host.zfs.snapshots(subject.dataset))
    for snapshot in taken:
        host.zfs.destroy(snapshot)
    assert {one.digest for one in subject.call("gc").removed} == {A.digest}


@of_zfs("ZFS-013", f"{DESTROY}: a mount")
def test_a_mount_of_somebody_else_stays(subject, host, dataset):
    """A layer's tree that somebody has mounted stays mounted, whatever is removed."""
    subject.tree(A)
    with kept(subject, host, dataset, "mount") as (place,):
        subject.remove_if_free(A, code=IN_THE_WAY)
        assert subject.is_mounted(place)
        assert host.tree(place) == model.apply(A)
        subject.is_whole(A)

    subject.call("remove", digest=A.digest)
    assert subject.digests() == set()


@of_zfs("ZFS-076", DESTROY, SHOULD)
@pytest.mark.parametrize("how", ["snapshot", "hold", "clone", "mount"])
def test_who_keeps_a_layer_is_told_by_name(subject, host, dataset, how):
    """A layer that somebody else keeps is refused with his name for it, and can go after him."""
    subject.tree(A)
    with kept(subject, host, dataset, how) as names:
        with subject.refuses(IN_THE_WAY) as refused:
            subject.call("remove", digest=A.digest)
        assert refused.holder in names
        assert subject.tree(A) == model.apply(A)

    assert subject.call("remove", digest=A.digest).removed
    assert host.zfs.snapshots(subject.dataset) == []


@of_zfs("ZFS-014", "PROTOCOL.md, unmount: stays for gc", needs=("writable", "gc"))
def test_a_view_ends_though_somebody_has_a_snapshot_of_it(subject, host):
    """A view of whose dataset somebody took a snapshot ends; gc takes the dataset when it can."""
    with subject.stacked(A) as kept:
        before = set(host.zfs.datasets(subject.dataset))
        root = subject.stack(A, writable=True)
        host.write(f"{root}/new", b"new")
        taken = [host.zfs.snapshot(f"{name}@now") for name in host.zfs.datasets(subject.dataset)]
        subject.unmount(root)

        assert set(taken) <= set(host.zfs.snapshots(subject.dataset))
        for snapshot in taken:
            host.zfs.destroy(snapshot)
        subject.call("gc")
        assert set(host.zfs.datasets(subject.dataset)) == before
        assert host.tree(kept) == model.apply(A)


@of_zfs(
    "ZFS-015", "PROTOCOL.md, 7: datasets that others have made below the store's", needs=("gc",)
)
def test_a_dataset_of_somebody_else_below_the_stores_is_left_alone(subject, host):
    """Whatever the store does, a dataset below its own that it has not made stays as it is."""
    precious = host.zfs.create(f"{subject.dataset}/precious", {"com.example:owner": "me"})
    snapshot = host.zfs.snapshot(f"{precious}@mine")
    subject.tree(A, B)
    subject.call("gc", force=True)
    for layer in (B, A):
        subject.call("remove", digest=layer.digest)
    subject.call("close")
    subject.call("open")

    assert host.zfs.exists(snapshot)
    assert host.zfs.get(precious, "com.example:owner") == "me"


@of_zfs("ZFS-016", "PROTOCOL.md, 6: administrators destroy datasets; reported as moby#40132")
def test_what_somebody_has_destroyed_is_made_again(subject, host):
    """When all datasets below the store's have been destroyed, its layers can be stacked again."""
    assert subject.tree(A, B) == model.apply(A, B)
    for name in host.zfs.datasets(subject.dataset)[1:]:
        host.zfs.destroy(name, clones=True, missing_ok=True)

    assert subject.tree(A, B) == model.apply(A, B)
    for layer in (B, A):
        assert subject.call("remove", digest=layer.digest).removed


@of_zfs("ZFS-017", "PROTOCOL.md, 6: administrators destroy datasets; moby#43080")
def test_a_layer_whose_datasets_have_gone_is_removed(subject, host):
    """Removing a layer whose datasets somebody has destroyed succeeds."""
    subject.tree(A, B)
    for name in host.zfs.datasets(subject.dataset)[1:]:
        host.zfs.destroy(name, clones=True, missing_ok=True)

    for layer in (B, A):
        assert subject.call("remove", digest=layer.digest).removed
    assert subject.digests() == set()


@of_zfs("ZFS-018", "PROTOCOL.md, 6: administrators rename datasets", SHOULD)
def test_a_renamed_dataset_is_neither_needed_nor_destroyed(subject, host, dataset):
    """What somebody has renamed stays there with its tree, and the store goes on without it."""
    subject.tree(A)
    moved = []
    for number, name in enumerate(host.zfs.datasets(subject.dataset)[1:]):
        host.zfs.rename(name, f"{dataset}/{number}")
        moved.append(f"{dataset}/{number}")

    assert subject.tree(A) == model.apply(A)
    assert subject.call("remove", digest=A.digest).removed
    assert set(moved) <= set(host.zfs.datasets(dataset))


@of_zfs("ZFS-019", "zfs-promote(8); PROTOCOL.md, 6", SHOULD)
def test_a_promoted_clone_takes_nothing_from_the_store(subject, host, dataset):
    """When somebody has promoted a clone of a layer's tree, the layer can still be stacked."""
    subject.tree(A)
    made = trees_of(host, subject)
    if not made:
        pytest.skip("target: the store has no zfs snapshots")
    clone = host.zfs.clone(made[0], f"{dataset}/clone")
    host.zfs.promote(clone)
    try:
        if subject.raw.config.declares("repair"):
            subject.call("repair")
        assert subject.tree(A) == model.apply(A)
    finally:
        if host.zfs.get(clone, "origin") == "-":
            host.zfs.promote(host.zfs.datasets(subject.dataset)[1])
        host.zfs.destroy(clone)


@of_zfs("ZFS-020", "PROTOCOL.md, 6: user properties are forgotten", SHOULD)
def test_forgotten_user_properties_do_no_harm(subject, host):
    """When the user properties of its datasets are gone, the store's layers stack as before."""
    subject.tree(A, B)
    for name in host.zfs.datasets(subject.dataset)[1:]:
        for key in host.zfs.properties(name):
            if ":" in key:
                host.zfs.inherit(name, key)

    assert subject.tree(A, B) == model.apply(A, B)
    assert subject.tree(A, C) == model.apply(A, C)


@of_zfs("ZFS-021", "PROTOCOL.md, 7", needs=("writable", "commit"))
def test_snapshots_of_everything_at_any_time_do_no_harm(subject, host):
    """Recursive snapshots before and while views are mounted change nothing for the store."""
    host.zfs.snapshot(f"{subject.dataset}@1", recursive=True)
    root = subject.stack(A, B, writable=True)
    host.zfs.snapshot(f"{subject.dataset}@2", recursive=True)
    host.write(f"{root}/new", b"new")
    made = subject.commit(root)
    subject.unmount(root)
    assert [m for m in host.mounts() if below(m.source, subject.dataset)] == []

    assert host.zfs.exists(f"{subject.dataset}@1")
    with subject.stacked(A, B, made) as again:
        assert host.read(f"{again}/new") == b"new"
