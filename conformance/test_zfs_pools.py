"""Stores on ZFS: what pools and parents are like, and what becomes of a store in them."""

import random
import struct

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.driver import Driver
from conformance.layers import Dir, File, Layer, Whiteout
from conformance.test_zfs import below

ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in (
        (1, 6, 2**32 - 1), (2, 4, 7), (4, 4, 2**32 - 1), (0x10, 4, 2**32 - 1), (0x20, 0, 2**32 - 1),
    )
)  # fmt: skip
A = Layer(
    Dir("d"), File("d/a", b"a"), File("x"),
    File("attributes", xattrs={"user.a": b"1", "trusted.b": b"2"}),
    File("acl", mode=0o640, xattrs={"system.posix_acl_access": ACL}),
    File("Case"), File("case"), File("not utf-8 \udcff"),
)  # fmt: skip
B = Layer(Dir("d"), File("d/b"), Whiteout("x"))


def incompressible(size):
    """Return bytes that take their space also where a pool compresses; the same each time."""
    return random.Random(size).randbytes(size)


def of_zfs(id_, source, level=MUST, **more):
    """Return the decorator of a clause about stores that have a dataset."""
    return clause(id_, level, source, profile="zfs", needs=("zfs", *more.pop("needs", ())), **more)


@pytest.fixture
def below_parent(raw_subject, host, dataset):
    """Give a maker of stores whose dataset lies below one with certain properties."""
    made = []

    def make(**properties):
        parent = host.zfs.create(f"{dataset}/parent", properties)
        directory = host.tmp("case")
        driver = Driver(raw_subject, host, directory, f"{directory}/store")
        driver.dataset = f"{parent}/store"
        made.append(driver)
        driver.open()
        return driver

    yield make
    for driver in made:
        driver.end()


INHERITED = {
    "acltype": {"acltype": "off"}, "xattr": {"xattr": "off"}, "readonly": {"readonly": "on"},
    "atime": {"atime": "on"}, "case": {"casesensitivity": "insensitive"},
    "utf8": {"utf8only": "on"}, "snapdir": {"snapdir": "visible"},
    "mount options": {"exec": "off", "setuid": "off", "devices": "off"},
}  # fmt: skip


@of_zfs("ZFS-030", "PROTOCOL.md, 10: what layers need the subject sets; zfsprops(7)")
@pytest.mark.parametrize("which", INHERITED)
def test_properties_of_the_parent_do_not_reach_the_layers(below_parent, host, which):
    """Whatever properties a parent dataset has, the layers below have all that is theirs."""
    subject = below_parent(**INHERITED[which])
    assert subject.tree(A, B) == model.apply(A, B)
    if subject.raw.config.declares("writable"):
        with subject.stacked(A, writable=True) as root:
            host.write(f"{root}/new", b"new")
            assert host.tree(root)["new"].size == 3


@of_zfs("ZFS-031", "zfsprops(7), mountpoint and canmount", SHOULD)
def test_nothing_of_a_store_is_mounted_by_the_system(below_parent, host):
    """Where the parent has a mountpoint, `zfs mount -a` mounts nothing of the store."""
    subject = below_parent()
    parent = subject.dataset.rpartition("/")[0]
    place = subject.path("inherited")
    host.zfs.set(parent, {"mountpoint": place})
    subject.tree(A, B)
    host.run(["zfs", "mount", "-a"])

    mounted = [mount for mount in host.mounts() if below(mount.source, subject.dataset)]
    host.zfs.set(parent, {"mountpoint": "none"})
    host.remove(place)
    assert mounted == []


@of_zfs("ZFS-032", "PROTOCOL.md, 5: write-failed; zfsprops(7), quota")
def test_a_quota_is_met_with_nothing_left_and_can_be_raised(subject, host):
    """What does not fit the quota of the dataset is write-failed; more quota, and it works."""
    big = Layer(File("big", incompressible(8 << 20)))
    subject.tree(B)
    before = set(host.zfs.datasets(subject.dataset))
    host.zfs.set(subject.dataset, {"quota": "4M"})
    with subject.refuses("write-failed"):
        subject.tree(big)
    assert set(host.zfs.datasets(subject.dataset)) <= before
    host.zfs.set(subject.dataset, {"quota": "none"})
    assert subject.tree(big) == model.apply(big)


@of_zfs("ZFS-033", "PROTOCOL.md, remove; reported as moby#37154", SHOULD)
def test_layers_can_be_removed_where_there_is_no_space(subject, host):
    """Removing works when the dataset has no space left, and gives space back."""
    subject.tree(A, B)
    used = host.zfs.space(subject.dataset)["used"]
    host.zfs.set(subject.dataset, {"quota": str(used)})
    for layer in (B, A):
        assert subject.call("remove", digest=layer.digest).removed
    assert host.zfs.space(subject.dataset)["used"] < used


@of_zfs("ZFS-034", "PROTOCOL.md, 5: zfs-dataset-not-found, a pool that is not imported")
def test_an_exported_pool_is_missed_and_found_again(subject, host):
    """Without its pool a store refuses by name; when the pool is there again, so are the layers."""
    subject.tree(A, B)
    subject.call("close")
    subject.restart()
    with host.zfs.exported():
        with subject.refuses("zfs-dataset-not-found"):
            subject.call("open")
        subject.restart()
    subject.call("open")
    assert subject.digests() == {A.digest, B.digest}
    assert subject.tree(A, B) == model.apply(A, B)


@of_zfs("ZFS-035", "zpoolprops(7), health", SHOULD)
def test_a_degraded_pool_serves(subject, host):
    """With half of a mirror offline, layers are added, stacked and removed as ever."""
    with host.zfs.degraded():
        assert subject.tree(A, B) == model.apply(A, B)
        assert subject.call("remove", digest=B.digest).removed
    assert subject.tree(A) == model.apply(A)


@of_zfs("ZFS-036", "PROTOCOL.md, 2: a store and its dataset", SHOULD)
def test_two_stores_in_one_pool_are_apart(subject_at):
    """What is removed from one store stays in another with the same layers."""
    one, two = subject_at("one"), subject_at("two")
    assert one.tree(A, B) == two.tree(A, B) == model.apply(A, B)
    for layer in (B, A):
        one.call("remove", digest=layer.digest)
    assert two.tree(A, B) == model.apply(A, B)


@of_zfs("ZFS-037", "PROTOCOL.md, 9: max_layers; zfs-clone(8), origin", SHOULD)
def test_a_chain_of_a_hundred_layers_is_stacked_and_removed(subject, host):
    """A hundred layers, each with something of the one below, give their tree, and go again."""
    layers = [Layer(File("n", b"%d" % n), File(f"f{n}"), Whiteout(f"f{n - 2}")) for n in range(100)]
    assert subject.tree(*layers) == model.apply(*layers)
    for layer in reversed(layers):
        assert subject.call("remove", digest=layer.digest).removed
    assert host.zfs.datasets(subject.dataset) in ([], [subject.dataset])


@of_zfs("ZFS-038", "zfs-clone(8): a clone shares what it has not changed", SHOULD)
def test_stacks_share_the_space_of_their_common_layers(subject, host):
    """A second stack on the same lower layers takes space for what is new alone."""
    big = Layer(File("big", incompressible(4 << 20)))
    subject.tree(big, B)
    used = host.zfs.space(subject.dataset)["used"]
    subject.tree(big, A)
    assert host.zfs.space(subject.dataset)["used"] - used < (2 << 20)


@of_zfs("ZFS-039", "PROTOCOL.md, 2: close leaves the datasets", SHOULD)
def test_what_was_removed_takes_no_space(subject, host):
    """When all layers have been removed, nothing is left below the store's dataset."""
    subject.tree(A, B)
    subject.tree(B, A)
    for layer in (A, B):
        subject.call("remove", digest=layer.digest)
    assert host.zfs.datasets(subject.dataset) in ([], [subject.dataset])
    assert host.zfs.snapshots(subject.dataset) == []
