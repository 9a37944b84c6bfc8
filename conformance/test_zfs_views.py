"""Stores on ZFS: views, commits and merges, and what others do to datasets meanwhile."""

import contextlib

import pytest

from conformance import model
from conformance.clauses import SHOULD
from conformance.driver import Driver
from conformance.layers import Dir, File, Hardlink, Layer, Whiteout
from conformance.test_zfs_administrators import of_zfs
from conformance.test_zfs_pools import ACL, incompressible
from harness.errors import Refused
from harness.zfsledger import difference

A = Layer(
    Dir("d"), File("d/a", b"1234\n"), File("d/b", b"5678\n"), Dir("d/e"), File("d/e/f"),
    File("x", b"linked"), Hardlink("y", to="x"),
    File("labelled", mode=0o640, xattrs={"user.a": b"1", "system.posix_acl_access": ACL}),
)  # fmt: skip
B = Layer(Dir("d"), File("d/c"), Whiteout("d/b"))
C = Layer(File("c", b"of another stack"))
#: What may be in the way of a stack that somebody has changed datasets of.
IN_THE_WAY = (
    "zfs-error", "zfs-clone-failed", "zfs-dataset-create-failed", "zfs-dataset-not-found",
    "storage-error", "mount-failed",
)  # fmt: skip


@of_zfs("ZFS-040", "PROTOCOL.md, 3: a read-only view refuses every change, and 1: views stay")
def test_a_read_only_view_stays_so_without_the_process_that_made_it(subject, host):
    """A view whose process has ended is read-only still when the store is opened, and ends."""
    root = subject.stack(A, B)
    subject.restart()
    subject.open()
    assert host.tree(root) == model.apply(A, B)
    with pytest.raises(OSError, match="Read-only file system"):
        host.write(f"{root}/new", b"new")

    subject.restart()
    subject.unmount(root)
    assert host.zfs.mounts(subject.dataset) == []
    assert subject.tree(A, B) == model.apply(A, B)


@of_zfs("ZFS-041", "PROTOCOL.md, 3: where root remounts a read-only view; mount(8), remount")
def test_what_is_written_into_a_view_remounted_for_writing_is_in_no_layer(subject, host):
    """Where root remounts a read-only view for writing, and may, the layers stay as they are."""
    root = subject.stack(A, B)
    host.run(["mount", "-i", "-o", "remount,rw", root])
    host.run(["sh", "-c", "rm -f d/a; echo other > d/c; echo new > new"], cwd=root)
    subject.unmount(root)
    assert subject.tree(A, B) == model.apply(A, B)
    assert subject.tree(A, B, C) == model.apply(A, B, C)


@of_zfs("ZFS-042", "zfs-clone(8); PROTOCOL.md, 3: unmount discards", SHOULD, needs=("writable",))
def test_a_writable_view_takes_the_space_of_what_is_written(subject, host):
    """A view of a large layer takes what was written into it, and unmounting gives that back."""
    large, part = Layer(File("large", incompressible(8 << 20))), 2 << 20
    subject.tree(large)
    before = host.zfs.space(subject.dataset)["used"]
    root = subject.stack(large, writable=True)
    host.write(f"{root}/new", incompressible(part))
    host.call("chmod", f"{root}/large", 0o600)
    assert part <= host.zfs.space(subject.dataset)["used"] - before < 2 * part

    subject.unmount(root)
    assert host.zfs.space(subject.dataset)["used"] - before < part // 4


#: What is done in a view: a shell's words, or an extended attribute of d/a.
EDITS = {
    "user attribute": ("user.new", b"1"),
    "capability": ("security.capability", b"\1\0\0\2\0\4" + bytes(14)),
    "ACL": ("system.posix_acl_access", ACL),
    "attribute less": "setfattr -x user.a labelled",
    "owner": "chown 7:8 d/a",
    "time": "touch -d @1000000000.5 d/a",
    "same size and time": "t=$(stat -c @%.9Y d/a) && rm d/a && echo 4321 > d/a && touch -d $t d/a",
    "places exchanged": "mv d/a t && mv d/b d/a && mv t d/b",
    "another directory": "mv d/e t && mkdir d/e && echo 1 > d/e/g && rm -r t",
    "moved over": "mv d/e/f d/a",
    "moved and changed": "mv d moved && echo 1 > moved/e/g && rm moved/a",
    "moved and back": "mv d/e moved && mv moved d/e",
    "a directory's name taken": "mv d other && mv x d",
    "another name": "ln d/a z && ln x d/x",
    "a name less": "rm x",
    "holes": "truncate -s 3M h && printf 1 | dd of=h bs=1 seek=2M conv=notrunc",
    "odd names": r"""touch 'd/a\0040b' "$(printf 'd/tab\there')" "$(printf 'd/\377')" """,
}  # fmt: skip


@of_zfs("ZFS-043", "PROTOCOL.md, commit; zfs-diff(8)", needs=("writable", "commit"))
@pytest.mark.parametrize("edit", EDITS)
def test_a_commit_has_what_was_changed_in_a_clone(subject, host, edit):
    """A commit has each change, also where only attributes, inodes or names are others."""
    done = EDITS[edit]
    with subject.stacked(A, writable=True) as root:
        if isinstance(done, str):
            subject.inside(root, done)
        else:
            host.call("setxattr", f"{root}/d/a", *done)
        view, made = host.tree(root), subject.commit(root)

    assert view != model.apply(A)
    assert subject.tree(A, made) == view


@of_zfs("ZFS-044", "PROTOCOL.md, 3: leaves nothing behind", needs=("writable", "commit"))
def test_what_a_commit_makes_in_the_pool_goes_with_its_layer(subject, host):
    """When a committed layer is removed, nothing of the commit is left, and nothing has gone."""
    root = subject.stack(A, B, writable=True)
    host.write(f"{root}/new", b"new")
    host.zfs.snapshot(f"{subject.dataset}@daily", recursive=True)
    before = host.ledger().zfs
    made = subject.commit(root)
    assert subject.commit(root) == made
    assert subject.call("remove", digest=made).removed
    assert difference(before, host.ledger().zfs) == []
    subject.unmount(root)


@of_zfs("ZFS-045", "PROTOCOL.md, merge; 3: leaves nothing behind", needs=("merge",))
def test_what_a_merge_makes_in_the_pool_goes_with_its_layer(subject, host):
    """When a merged layer is removed, nothing of the merge is left, and nothing has gone."""
    assert subject.tree(A, B) == model.apply(A, B)
    host.zfs.snapshot(f"{subject.dataset}@daily", recursive=True)
    before = host.ledger().zfs
    merged = subject.merge(A, B)
    assert subject.tree(merged) == model.apply(A, B)
    assert subject.call("remove", digest=merged).removed

    assert difference(before, host.ledger().zfs) == []
    assert subject.tree(A, B) == model.apply(A, B)


@contextlib.contextmanager
def with_little_space(what, subject, host):
    """Give the store with a quota of 8 MiB, or another one in a pool of 64 MiB."""
    if what == "quota":
        host.zfs.set(subject.dataset, {"quota": "8m"})
        yield subject
        return
    with host.zfs.second_pool(size=64 << 20) as pool:
        directory = host.tmp("case")
        other = Driver(subject.raw, host, directory, f"{directory}/store")
        other.dataset = f"{pool}/store"
        try:
            other.open()
            yield other
        finally:
            other.end()


@of_zfs("ZFS-046", "PROTOCOL.md, unmount; zfsprops(7), quota; write(2)", needs=("writable",))
@pytest.mark.parametrize("what", ["quota", "pool"])
def test_a_view_that_has_filled_its_space_ends_like_any_other(subject, host, what):
    """A view that has filled the quota or the pool gets ENOSPC or EDQUOT, ends, and frees it."""
    with with_little_space(what, subject, host) as small:
        assert small.tree(A, B) == model.apply(A, B)
        before = host.zfs.space(small.dataset)["used"]
        root = small.stack(A, B, writable=True)
        filling = ["dd", "if=/dev/urandom", "of=new", "bs=1M", "count=64", "oflag=dsync"]
        done = host.run(filling, cwd=root, env={"LC_ALL": "C"}, timeout=300)
        assert b"No space left" in done.stderr or b"quota exceeded" in done.stderr
        assert host.read(f"{root}/d/a") == b"1234\n"

        small.unmount(root)
        assert host.zfs.space(small.dataset)["used"] - before < 1 << 20
        assert small.tree(A, B, C) == model.apply(A, B, C)


@contextlib.contextmanager
def drifted(host, subject, properties):
    """Set properties of all datasets of a store, and afterwards set back what was there."""
    names = host.zfs.datasets(subject.dataset)
    were = {name: host.zfs.properties(name) for name in names}
    for name in names:
        host.zfs.set(name, properties)
    yield
    for name in names:
        for key in properties:
            if key in were[name] or key == "canmount":  # which is never inherited
                host.zfs.set(name, {key: were[name].get(key, "on")})
            else:
                host.zfs.inherit(name, key)


@of_zfs("ZFS-047", "PROTOCOL.md, 6: administrators set properties", needs=("writable",))
@pytest.mark.parametrize("drift", ["readonly=on", "atime=on", "canmount=on", "canmount=off",
                                   "acltype=off", "xattr=off", "snapdir=visible",
                                   "mountpoint=legacy"])  # fmt: skip
def test_properties_that_somebody_sets_show_no_other_tree(subject, host, drift):
    """Whatever was set on its datasets, a store shows the layers' trees or says what is wrong."""
    subject.tree(A, B)
    with drifted(host, subject, dict([drift.split("=")])):
        for stack in ((A, B), (A, C)):
            try:
                assert subject.tree(*stack) == model.apply(*stack)
                with subject.stacked(*stack, writable=True) as root:
                    host.write(f"{root}/new", b"new")
                    assert host.tree(root)["new"].size == 3
            except Refused as refused:
                if refused.code not in IN_THE_WAY or subject.dataset not in str(refused):
                    raise
    assert subject.tree(A, B) == model.apply(A, B)
    assert subject.tree(A, C) == model.apply(A, C)


@of_zfs("ZFS-048", "PROTOCOL.md, 6: administrators rename datasets", needs=("writable",))
@pytest.mark.parametrize("writable", [False, True], ids=["read-only", "writable"])
def test_a_view_whose_dataset_was_renamed_can_be_ended(subject, host, dataset, writable):
    """A view whose datasets somebody has renamed ends, or does when they have their names again."""
    root = subject.stack(A, B, writable=writable)
    moved = {
        name: f"{dataset}/{number}"
        for number, name in enumerate(host.zfs.datasets(subject.dataset)[1:])
    }
    for name, other in moved.items():
        host.zfs.rename(name, other)
    assert host.tree(root) == model.apply(A, B)
    try:
        subject.unmount(root)
    except Refused as refused:
        if refused.code not in {"unmount-failed", "zfs-dataset-not-found"}:
            raise
        for name, other in moved.items():
            host.zfs.rename(other, name)
        subject.unmount(root)

    assert host.zfs.mounts(dataset) == []
    assert subject.tree(A, B) == model.apply(A, B)


@of_zfs("ZFS-049", "PROTOCOL.md, 7: user properties of others", needs=("writable", "gc"))
def test_user_properties_of_others_stay_where_they_are(subject, host):
    """What others have noted in user properties of a store's datasets is never forgotten."""
    note = {"com.example:backup": "daily"}
    with subject.stacked(A, B) as root:
        names = host.zfs.datasets(subject.dataset)
        for name in names:
            host.zfs.set(name, note)
        subject.tree(A, C)
        with subject.stacked(A, B, writable=True) as other:
            host.write(f"{other}/new", b"new")
        subject.call("gc")
        subject.restart()
        subject.open()
        assert host.tree(root) == model.apply(A, B)
        noted = {name: host.zfs.get(name, "com.example:backup") for name in names}
    assert noted == dict.fromkeys(names, "daily")
