"""Stores on overlayfs whose directory lies on a ZFS dataset, as an administrator makes one.

OpenZFS before 2.2 cannot be an upperdir, a dataset may have been made with rules for names, and its
properties change at any time: what cannot be had is refused by name, and no other tree is shown.
"""

import contextlib
import random

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.disks import mounted_dataset, on_dataset
from conformance.driver import Driver
from conformance.layers import (
    MTIME,
    Dir,
    Fifo,
    File,
    Hardlink,
    Layer,
    Opaque,
    Sparse,
    Symlink,
    Whiteout,
)
from conformance.model import untimed
from harness.errors import Refused

A = Layer(Dir("d"), File("d/a"), File("x"))
B = Layer(Dir("d"), File("d/b"), Whiteout("x"), compression="gzip")

#: acl(5) as xattrs hold it: user rwx, user 0 r-x, group r-x, mask r-x, others ---.
ACL = bytes.fromhex(
    "02000000 01000700ffffffff 0200050000000000 04000500ffffffff 10000500ffffffff 20000000ffffffff"
)

#: What copies up whole: owners, modes, nanoseconds, attributes; an opaque directory is among them.
KEPT = (
    Layer(Dir("d"), File("d/hidden"), File("gone"), Dir("o"), File("o/hidden")),
    Layer(
        Dir("./", mode=0o751, mtime_ns=MTIME + 1),
        Dir("d", mode=0o2750, uid=7, gid=9, mtime_ns=MTIME + 987654321, xattrs={"user.d": b"1"}),
        File("d/f", b"f", mode=0o640, uid=1000, gid=5, mtime_ns=1, xattrs={"user.f": b"\0\xff"}),
        File("d/setuid", b"s", mode=0o4711, mtime_ns=MTIME + 123456789),
        File("d/empty", b"", mode=0, xattrs={"trusted.e": b"", "user.e": b"e" * 900}),
        Symlink("d/l", to="f", uid=3, gid=4, mtime_ns=MTIME + 5),
        Fifo("d/p", mode=0o600, mtime_ns=MTIME + 6),
        Whiteout("gone"),
        Opaque("o"),
        File("o/kept", mtime_ns=MTIME + 7),
    ),
)


def on_zfs(id_, source, level=MUST, *, upper=False, **more):
    """Return the decorator of a clause about stores on a dataset; ``upper``: one for changes."""
    needs = more.pop("needs", ())
    facts = ("zfs", *(("zfs_upperdir",) if upper else ()), *more.pop("target_needs", ()))
    needs = ("writable", *needs) if upper else needs
    return clause(id_, level, source, profile="overlay-on-zfs", needs=needs, target_needs=facts)


def dataset_of(host, place):
    """Return the name of the dataset that a path lies on."""
    held = [m for m in host.mounts() if f"{place}/".startswith(f"{m.target}/")]
    return max(held, key=lambda mount: len(mount.target)).source


def incompressible(size):
    """Return bytes that take their space also where a pool compresses; the same each time."""
    return random.Random(size).randbytes(size)


@contextlib.contextmanager
def quota(host, dataset, size):
    """Let a dataset take no more than so many bytes, for as long as the context lasts."""
    host.zfs.set(dataset, {"quota": str(size)})
    try:
        yield
    finally:
        host.zfs.set(dataset, {"quota": "none"})


@on_zfs("ZFS-201", "PROTOCOL.md, 3 and 10; overlayfs.rst, Upper and Lower", upper=True)
def test_a_store_on_a_dataset_makes_writable_views(subject_on_dataset, host):
    """On a ZFS dataset, views show the layers' tree, and take deletions, renames and new files."""
    subject = subject_on_dataset
    root = subject.stack(A, B, writable=True)
    assert host.tree(root) == model.apply(A, B)
    subject.inside(root, "rm d/a; mv d/b d/c; echo new > e; rm -r d; mkdir d")
    assert sorted(path for path in host.tree(root) if path != ".") == ["d", "e"]
    subject.unmount(root)
    assert subject.tree(A, B) == model.apply(A, B)


BASE = Layer(
    Dir("d", mode=0o750, xattrs={"user.kept": b"1"}),
    File("d/a", b"first\n"),
    File("d/b", b"second\n", mode=0o600),
    Dir("d/e"),
    File("d/e/f", b"below\n"),
    Symlink("l", to="d"),
    File("x", b"linked\n"),
    Hardlink("y", to="x"),
    Dir("o"),
    File("o/hidden"),
)
TOP = Layer(Opaque("o"), File("o/seen", b"seen\n"))

#: What a shell does in a view, and the layer that the specification has for it.
EDITS = {
    "delete": ("rm d/a", Layer(Whiteout("d/a"))),
    "rename": ("mv d/a d/c", Layer(Whiteout("d/a"), File("d/c", b"first\n"))),
    "rename over": ("mv d/a d/b", Layer(Whiteout("d/a"), File("d/b", b"first\n"))),
    "rename over a deletion": (
        "rm d/b && mv d/a d/b",
        Layer(Whiteout("d/a"), File("d/b", b"first\n")),
    ),
    "exchange": (
        "mv d/a t && mv d/b d/a && mv t d/b",
        Layer(File("d/a", b"second\n", mode=0o600), File("d/b", b"first\n")),
    ),
    "remove and make anew": (
        "rm d/e/f && rmdir d/e && mkdir d/e && echo 1 > d/e/n",
        Layer(Whiteout("d/e"), Dir("d/e"), File("d/e/n", b"1\n")),
    ),
    "move a directory": (
        "mv d/e moved",
        Layer(Whiteout("d/e"), Dir("moved"), File("moved/f", b"below\n")),
    ),
    "a file for a directory": ("rm -r d && echo 1 > d", Layer(Whiteout("d"), File("d", b"1\n"))),
    "a directory for a file": (
        "rm x && mkdir x && echo 1 > x/z",
        Layer(Whiteout("x"), Dir("x"), File("x/z", b"1\n")),
    ),
    "a symlink for a directory": ("rm -r d/e && ln -s a d/e", Layer(Symlink("d/e", to="a"))),
    "hard links": (
        "ln d/a d/z && ln d/z q && echo more >> q",
        Layer(File("d/a", b"first\nmore\n"), Hardlink("d/z", to="d/a"), Hardlink("q", to="d/a")),
    ),
    "below an opaque directory": ("rm o/seen && echo 1 > o/hidden", Layer(
        Whiteout("o/seen"), File("o/hidden", b"1\n"),
    )),
}  # fmt: skip


@on_zfs("ZFS-202", "overlayfs.rst, Upper and Lower; rename(2), RENAME_WHITEOUT", upper=True)
@pytest.mark.parametrize("edit", EDITS)
def test_every_change_in_a_view_is_what_a_shell_makes_of_it(subject_on_dataset, host, edit):
    """Deleting, renaming, replacing and linking in a view show what they would on a plain disk."""
    script, change = EDITS[edit]
    with subject_on_dataset.stacked(BASE, TOP, writable=True) as root:
        subject_on_dataset.inside(root, script)
        assert untimed(host.tree(root)) == untimed(model.apply(BASE, TOP, change))


@on_zfs("ZFS-203", "PROTOCOL.md, commit; overlayfs.rst, whiteouts", upper=True, needs=("commit",))
@pytest.mark.parametrize("edit", ["all", *EDITS])
def test_a_commit_on_a_dataset_is_the_change_that_was_made(subject_on_dataset, host, edit):
    """The layer of a view on a dataset gives the view's tree again, to the last attribute."""
    subject = subject_on_dataset
    every = "mv d/a d/b; rm y l; rm -r d/e; mkdir d/e; chown 5:6 d/e; touch -d @9.123456789 d/e d"
    with subject.stacked(BASE, TOP, writable=True) as root:
        subject.inside(root, every if edit == "all" else EDITS[edit][0])
        view, digest = host.tree(root), subject.commit(root)
        assert subject.commit(root) == digest
    if edit != "all":
        assert untimed(view) == untimed(model.apply(BASE, TOP, EDITS[edit][1]))
    assert subject.tree(BASE, TOP, digest) == view


@on_zfs("ZFS-204", "PROTOCOL.md, 3; overlayfs.rst, Non-directories: copy_up", upper=True)
def test_what_is_copied_up_keeps_all_that_it_had(subject_on_dataset, host):
    """What a view copies up has its owner, mode, time to the nanosecond, and attributes after."""
    with subject_on_dataset.stacked(*KEPT, writable=True) as root:
        assert host.tree(root) == model.apply(*KEPT)
        subject_on_dataset.inside(
            root,
            "for f in d/f d/setuid d/empty o/kept; do : >> $f; done; "
            "chmod 2750 d; chmod 751 .; chmod 600 d/p; chown -h 3:4 d/l",
        )
        assert host.tree(root) == model.apply(*KEPT)


@on_zfs("ZFS-205", "acl(5); zfsprops(7), acltype", upper=True, target_needs=("zfs_posix_acl",))
def test_lists_of_access_are_kept_and_copied_up(raw_subject, host):
    """Where the dataset has acltype=posix, ACLs of layers are in views, and copied up with them."""
    lists = {"system.posix_acl_access": ACL}
    layer = Layer(
        Dir("d", mode=0o750, xattrs={**lists, "system.posix_acl_default": ACL}),
        File("d/f", mode=0o750, xattrs=lists),
    )
    with (
        on_dataset(raw_subject, host, {"acltype": "posix"}) as subject,
        subject.stacked(layer, writable=True) as root,
    ):
        assert host.tree(root) == model.apply(layer)
        subject.inside(root, ": >> d/f; touch d/new; rm d/new")
        assert untimed(host.tree(root)) == untimed(model.apply(layer))


@on_zfs("ZFS-206", "overlayfs.rst, copy_up; lseek(2), SEEK_HOLE", upper=True)
def test_large_and_sparse_files_are_copied_up_whole(subject_on_dataset, host):
    """A large file, and one with holes, have every byte of theirs when a view has changed one."""
    pieces = ((512, b"x" * 512), (5 << 20, b"y" * 1024), (8 << 20, b"z" * 512))
    large = incompressible(6 << 20)
    layer = Layer(File("large", large), Sparse("sparse", 12 << 20, pieces))
    change = Layer(
        File("large", b"!" + large[1:]),
        Sparse("sparse", 12 << 20, ((0, b"!" + bytes(511)), *pieces)),
    )
    with subject_on_dataset.stacked(layer, writable=True) as root:
        assert host.tree(root) == model.apply(layer)
        for name in ("large", "sparse"):
            host.write(f"{root}/{name}", b"!", offset=0)
        assert untimed(host.tree(root)) == untimed(model.apply(layer, change))


@on_zfs("ZFS-207", "PROTOCOL.md, 3 and 10: read-only views are had on every ZFS")
def test_read_only_views_are_had_on_every_dataset(subject_on_dataset, host):
    """On any ZFS a read-only view shows the layers' tree, to the last attribute, and stays so."""
    implicit = Layer(File("d/deeper/f"), Whiteout("d/p"))
    with subject_on_dataset.stacked(*KEPT, implicit) as root:
        assert host.tree(root) == model.apply(*KEPT, implicit)
        for script in ("rm d/f", ": >> d/f", "touch new", "chmod 700 d"):
            assert host.run(["sh", "-ec", script], cwd=root).status != 0
        assert host.tree(root) == model.apply(*KEPT, implicit)


@on_zfs("ZFS-208", "PROTOCOL.md, 10: invalid-overlay, no upperdir", needs=("writable",))
def test_without_an_upperdir_a_writable_view_is_refused_by_name(subject_on_dataset, host):
    """Where a dataset can be no upperdir, a writable view is refused, and read-only ones go on."""
    if host.facts["zfs_upperdir"]:
        pytest.skip("target: a dataset can be an upperdir here")
    subject = subject_on_dataset
    subject.add(A)
    before = host.ledger()
    with subject.refuses("invalid-overlay"):
        subject.stack(A, writable=True)
    assert host.ledger().mounts == before.mounts
    assert subject.tree(A, B) == model.apply(A, B)


#: Properties of a dataset. Names obey those of a dataset's creation, for good.
PROPERTIES = {
    "defaults": {}, "acl": {"acltype": "posix"}, "no acl": {"acltype": "off"},
    "xattr off": {"xattr": "off"}, "xattr dir": {"xattr": "on"},
    "case": {"casesensitivity": "insensitive"}, "mixed": {"casesensitivity": "mixed"},
    "utf8": {"utf8only": "on"}, "form": {"normalization": "formD"},
    "others": {
        "atime": "on", "exec": "off", "setuid": "off", "devices": "off", "compression": "off",
        "recordsize": "512", "dnodesize": "auto", "sync": "disabled", "xattr": "sa",
    },
}  # fmt: skip

#: Stacks that ask for one thing each.
STACKS = (
    (A, B),
    KEPT,
    (Layer(File("n/name"), File("n/NAME")), Layer(Whiteout("n/NAME"))),
    (Layer(File("n/name")), Layer(Whiteout("n/NAME"), File("n/other"))),
    (Layer(File("n/\xe9"), File("n/e\u0301")), Layer(Whiteout("n/\xe9"))),
    (Layer(File("n/\udcff"), File("n/\udce9\udcff")), Layer(Whiteout("n/\udcff"))),
    (Layer(File("acl", mode=0o750, xattrs={"system.posix_acl_access": ACL})),),
    (Layer(File("user", xattrs={"user.a": b"1"})), Layer(Dir("d", xattrs={"user.b": b"2"}))),
)


@on_zfs("ZFS-209", "PROTOCOL.md, 10: another tree is never shown; zfsprops(7)")
@pytest.mark.parametrize("which", PROPERTIES)
def test_whatever_the_properties_a_tree_is_right_or_refused(subject, host, which):
    """Whatever properties a dataset has, each tree is the layers', or is refused by name."""
    with mounted_dataset(host, PROPERTIES[which]) as place:
        other = Driver(subject.raw, host, subject.directory, f"{place}/store")
        if not can_be_opened(other):
            assert host.listdir(place) == []
            return
        for layers in STACKS:
            tree = other.tree_or_refusal(*layers, codes=("invalid-overlay",))
            assert tree in (None, model.apply(*layers))
        other.call("close")


def can_be_opened(subject):
    """Open a store; whether that is done, and not refused by name."""
    try:
        subject.open()
    except Refused as refused:
        assert refused.code == "invalid-overlay", refused  # noqa: PT017 - it may be done as well
        return False
    return True


@on_zfs("ZFS-210", "PROTOCOL.md, 5: read-only-filesystem and write-failed; zfsprops(7), readonly")
def test_a_dataset_that_becomes_read_only_takes_no_layer(subject_on_dataset, host):
    """On a dataset that is set readonly, layers are refused and views go on; set back, it works."""
    subject = subject_on_dataset
    root, path, dataset = subject.stack(A), subject.put(B.blob()), dataset_of(host, subject.store)
    subject.restart()  # a file that is open for writing would keep the dataset writable
    host.zfs.set(dataset, {"readonly": "on"})
    try:
        with subject.refuses("read-only-filesystem", "write-failed"):
            subject.call("add", path=path, media_type=B.media_type)
        assert host.tree(root) == model.apply(A)
        subject.restart()
    finally:
        host.zfs.set(dataset, {"readonly": "off"})
    assert subject.digests() == {A.digest}
    subject.unmount(root)
    assert subject.tree(A, B) == model.apply(A, B)


@on_zfs("ZFS-211", "PROTOCOL.md, 5: write-failed; zfsprops(7), quota")
def test_a_quota_of_the_dataset_is_met_with_nothing_left(subject_on_dataset, host):
    """What does not fit the quota is write-failed and takes no space; with more quota it works."""
    subject, big = subject_on_dataset, Layer(File("big", incompressible(8 << 20)))
    subject.add(A)
    path, dataset = subject.put(big.blob()), dataset_of(host, subject.store)
    used = host.zfs.space(dataset)["used"]
    with quota(host, dataset, used + (4 << 20)):
        with subject.refuses("write-failed"):
            subject.tree(subject.call("add", path=path, media_type=big.media_type).layer.digest)
        if big.digest not in subject.digests():
            assert host.zfs.space(dataset)["used"] < used + (1 << 20)
    assert subject.tree(A, big) == model.apply(A, big)


@on_zfs("ZFS-212", "PROTOCOL.md, 7: snapshots that others have made; zfs-snapshot(8)")
def test_snapshots_of_the_dataset_hinder_nothing(subject_on_dataset, host):
    """While others take snapshots of the dataset, views go on and end, and layers come and go."""
    subject, dataset = subject_on_dataset, dataset_of(host, subject_on_dataset.store)
    taken = [host.zfs.snapshot(f"{dataset}@empty")]
    with subject.stacked(A, B) as root:
        taken.append(host.zfs.snapshot(f"{dataset}@mounted"))
        assert host.tree(root) == model.apply(A, B)
        assert subject.tree(A) == model.apply(A)
    assert subject.call("remove", digest=B.digest).removed
    taken.append(host.zfs.snapshot(f"{dataset}@removed"))
    assert host.zfs.snapshots(dataset) == taken
    subject.add(B)
    assert subject.tree(A, B) == model.apply(A, B)


@on_zfs("ZFS-213", "PROTOCOL.md, 2: the root of a file system; zfsprops(7), snapdir")
def test_a_store_at_the_root_of_a_dataset_may_see_its_snapshots(subject, host):
    """A dataset's root is a store's directory, also where .zfs is visible, which no view shows."""
    with mounted_dataset(host, {"snapdir": "visible"}) as place:
        other = Driver(subject.raw, host, subject.directory, place)
        other.open()
        host.zfs.snapshot(f"{dataset_of(host, place)}@daily")
        assert ".zfs" in host.listdir(place)
        assert other.tree(A, B) == model.apply(A, B)
        other.restart()
        other.open()
        assert other.digests() == {A.digest, B.digest}
        assert other.tree(B, A) == model.apply(B, A)
        other.call("close")


@on_zfs("ZFS-214", "PROTOCOL.md, 9: max_layers; overlayfs.rst, Multiple lower layers")
def test_a_stack_of_128_layers_is_shown(subject_on_dataset):
    """128 layers on a dataset, each with something of the one below, show their tree."""
    most = subject_on_dataset.raw.config.limits.max_layers
    if most is None or most < 128:
        pytest.skip("the subject does not declare that it takes 128 layers")
    layers = [Layer(File("n", b"%d" % n), File(f"f{n}"), Whiteout(f"f{n - 2}")) for n in range(128)]
    assert subject_on_dataset.tree(*layers) == model.apply(*layers)


@on_zfs("ZFS-215", "PROTOCOL.md, remove; zfsprops(7), used", SHOULD)
def test_a_removed_layer_gives_its_space_back_to_the_pool(subject_on_dataset, host):
    """What a layer takes of the dataset is free again when it has been removed."""
    subject, dataset = subject_on_dataset, dataset_of(host, subject_on_dataset.store)
    layers = [Layer(File(f"f{n}", incompressible((2 << 20) + n))) for n in range(3)]
    paths = [subject.put(layer.blob()) for layer in layers]
    empty = host.zfs.space(dataset)["used"]
    for path, layer in zip(paths, layers, strict=True):
        subject.call("add", path=path, media_type=layer.media_type)
    subject.tree(*(layer.digest for layer in layers))
    assert host.zfs.space(dataset)["used"] - empty > 3 * (2 << 20)
    for layer in layers:
        assert subject.call("remove", digest=layer.digest).removed
    assert host.zfs.space(dataset)["used"] - empty < 1 << 20


@on_zfs("ZFS-216", "PROTOCOL.md, gc: measured on disk", SHOULD, needs=("gc",))
def test_what_gc_freed_is_free_in_the_pool(subject_on_dataset, host):
    """What gc says it freed is what the dataset has less."""
    subject, dataset = subject_on_dataset, dataset_of(host, subject_on_dataset.store)
    for n in range(3):
        subject.add(Layer(File(f"f{n}", incompressible((2 << 20) + n))))
    full = host.zfs.space(dataset)["used"]
    freed = subject.call("gc").bytes_freed
    assert subject.digests() == set()
    assert freed >= 3 * (2 << 20)
    assert abs(full - host.zfs.space(dataset)["used"] - freed) < 1 << 20


@on_zfs("ZFS-217", "PROTOCOL.md, 2: close; umount(2), EBUSY")
def test_after_close_the_dataset_can_be_unmounted(subject_on_dataset, host):
    """After close nothing of the subject keeps the store's dataset busy, whatever still runs."""
    subject, dataset = subject_on_dataset, dataset_of(host, subject_on_dataset.store)
    subject.stack(A, B)
    with subject.refuses("layer-in-use"):
        subject.call("remove", digest=A.digest)
    subject.call("close")
    host.zfs.unmount(dataset)
    host.zfs.mount(dataset)
    subject.open()
    assert subject.digests() == {A.digest, B.digest}


@on_zfs("ZFS-218", "PROTOCOL.md, 2: a later open finds all layers; zpool-export(8)")
def test_layers_are_there_after_the_pool_was_elsewhere(subject_on_dataset, host):
    """A pool that was exported after close, and imported again, has the store with its layers."""
    subject = subject_on_dataset
    before = subject.tree(A, B)
    subject.call("close")
    with host.zfs.exported():
        pass
    subject.open()
    assert subject.digests() == {A.digest, B.digest}
    assert subject.tree(A, B) == before == model.apply(A, B)


@on_zfs("ZFS-219", "PROTOCOL.md, remove; zfsprops(7), quota; reported as moby#37154", SHOULD)
def test_layers_can_be_removed_where_a_quota_is_met(subject_on_dataset, host):
    """Removing works where the dataset has no space left, and gives space back."""
    subject, dataset = subject_on_dataset, dataset_of(host, subject_on_dataset.store)
    big = Layer(File("big", incompressible(4 << 20)), Dir("d/e/f"), File("d/e/f/g"))
    assert subject.tree(A, big) == model.apply(A, big)
    used = host.zfs.space(dataset)["used"]
    with quota(host, dataset, used):
        for layer in (big, A):
            assert subject.call("remove", digest=layer.digest).removed
        assert subject.digests() == set()
        assert host.zfs.space(dataset)["used"] < used - (3 << 20)
