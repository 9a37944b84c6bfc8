"""Stacks that are sent from one store to another, with the datasets that they share space in."""

import contextlib
import signal

import pytest

from conformance import model
from conformance.clauses import MUST, clause
from conformance.driver import Driver
from conformance.layers import Dir, File, Hardlink, Layer, Opaque, Symlink, Whiteout
from conformance.test_zfs_pools import ACL, incompressible
from harness.errors import SubjectCrashed

BIG = Layer(Dir("d"), File("d/big", incompressible(4 << 20)), File("x"))
A = Layer(Dir("d"), File("d/a", incompressible(64 << 10)), File("x"))
B = Layer(Dir("d"), File("d/b"), Whiteout("x"), compression="gzip")
C = Layer(Opaque("d"), File("d/c"), Symlink("link", to="d/c"))


def replicates(id_, source):
    """Return the decorator of a clause about stacks that go from store to store, MUST."""
    return clause(id_, MUST, source, profile="zfs", needs=("zfs", "replicate"))


@pytest.fixture
def one(subject_at):
    """Give the store that sends."""
    return subject_at("one")


@pytest.fixture
def two(subject_at):
    """Give the store that receives, in the same pool."""
    return subject_at("two")


@pytest.fixture
def elsewhere(raw_subject, host):
    """Give a store that receives in another pool."""
    with host.zfs.second_pool() as pool:
        directory = host.tmp("case")
        driver = Driver(raw_subject, host, directory, f"{directory}/store")
        driver.dataset = f"{pool}/store"
        try:
            driver.open()
            yield driver
        finally:
            driver.end()


def state(subject):
    """Return all of a store that can be seen: its layers, datasets and snapshots."""
    zfs = subject.host.zfs
    return subject.digests(), zfs.datasets(subject.dataset), zfs.snapshots(subject.dataset)


@replicates("ZFS-060", "PROTOCOL.md, receive: the view is right")
@pytest.mark.parametrize(
    ("where", "fields"),
    [("two", {}), ("two", {"blobs_only": True}), ("elsewhere", {})],
    ids=["same pool", "blobs only", "another pool"],
)
def test_a_stack_that_was_received_shows_its_tree(one, request, where, fields):
    """A stack that was sent and received shows its layers' tree, in whatever pool it is."""
    other = request.getfixturevalue(where)
    needs = [one.add(A)] if one.raw.config.declares("dependencies") else []
    one.add(C, dependencies=needs)
    other.receive(one.send(A, B, C), A, B, C, **fields)
    assert list(other.call("get", digest=C.digest).layer.dependencies) == needs
    assert other.digests() == {A.digest, B.digest, C.digest}
    assert other.tree(A, B, C) == model.apply(A, B, C)
    assert other.tree(A, B) == model.apply(A, B)
    assert other.tree(C, A) == model.apply(C, A)


@replicates("ZFS-061", "PROTOCOL.md, send: since, and receive: the space that it takes")
@pytest.mark.parametrize("how", ["at once", "since"])
def test_common_layers_are_sent_once_and_share_space(one, two, host, how):
    """What the receiver has is not sent again, and common layers take their space once."""
    if how == "since":
        two.receive(one.send(BIG, B), BIG, B)
        used = host.zfs.space(two.dataset)["used"]
        path = one.send(BIG, B, C, since=(BIG, B))
        assert host.node(path).size < (1 << 20)
        two.receive(path, BIG, B, C)
        assert host.zfs.space(two.dataset)["used"] - used < (2 << 20)
    else:
        path = one.send(BIG, B, C)
        assert host.node(path).size < 2 * BIG.size + (2 << 20)
        two.receive(path, BIG, B, C)
        assert host.zfs.space(two.dataset)["used"] < BIG.size + (2 << 20)
    assert two.tree(BIG, B, C) == model.apply(BIG, B, C)


@replicates("ZFS-062", "PROTOCOL.md, send: after a refusal there is no file")
def test_what_cannot_be_sent_leaves_no_file(one, host):
    """An unknown layer, a list that does not begin as said, or a taken path is refused, no file."""
    a, b = one.add(A), one.add(B)
    path = one.path("sent")
    with one.refuses("layer-not-found"):
        one.call("send", digests=[a, C.digest], path=path)
    with one.refuses("validation-error"):
        one.call("send", digests=[a, b], path=path, since=[b])
    assert not host.exists(path)
    host.write(path, b"precious")
    with one.refuses("path-error"):
        one.call("send", digests=[a, b], path=path)
    assert host.read(path) == b"precious"


@replicates("ZFS-063", "PROTOCOL.md, receive: what is there already")
def test_receiving_again_changes_nothing(one, two):
    """A stack that was received is received again without an error, and nothing is changed."""
    path = one.send(A, B)
    two.receive(path, A, B)
    before = state(two)
    two.receive(path, A, B)
    assert state(two) == before
    assert two.tree(A, B) == model.apply(A, B)


@replicates("ZFS-064", "PROTOCOL.md, receive: what is cut off, or no such file")
@pytest.mark.parametrize("share", [0, 1, 2, 3])
def test_a_part_of_a_file_is_refused_and_nothing_is_left(one, two, host, share):
    """Nothing is left of a file that is cut off, and the whole one is received afterwards."""
    path, part = one.send(A, B, C), two.path("part")
    whole = host.read(path)
    host.write(part, whole[: len(whole) * share // 4])
    two.add(A)
    before = state(two)
    with two.refuses("validation-error", "decompression-error"):
        two.call("receive", path=part)
    assert state(two) == before
    two.receive(path, A, B, C)
    assert two.tree(A, B, C) == model.apply(A, B, C)


@replicates("ZFS-065", "PROTOCOL.md, receive: a layer of since that the receiver does not have")
def test_what_the_receiver_was_said_to_have_is_missed_by_name(one, two):
    """A stack whose beginning the receiver has not is refused, and the layer named."""
    path = one.send(A, B, C, since=(A, B))
    two.add(A)
    before = state(two)
    with two.refuses("layer-not-found") as refused:
        two.call("receive", path=path)
    assert refused.error.digest == B.digest
    assert state(two) == before


@replicates("ZFS-066", "PROTOCOL.md, receive: what was unpacked in this store itself")
@pytest.mark.parametrize("what", ["added", "stacked"])
def test_what_the_receiver_has_made_itself_goes_together(one, two, what):
    """Where the receiver has got some of the layers in another way, all of it is right as well."""
    for layer in (A, B):
        two.add(layer)
    if what == "stacked":
        assert two.tree(A, B) == model.apply(A, B)
    two.receive(one.send(A, B, C, since=(A, B)), A, B, C)
    assert two.tree(A, B, C) == model.apply(A, B, C)
    two.receive(one.send(A, B, BIG), A, B, BIG)
    assert two.tree(A, B, BIG) == model.apply(A, B, BIG)
    assert two.tree(A, B) == model.apply(A, B)


def long_stack(count):
    """Return layers that add, change, hide and link things of one another."""
    acl = {"system.posix_acl_access": ACL}
    return [
        Layer(
            Dir("d", mode=0o750 + n % 8, uid=n), File(f"d/{n}", b"%d" % n, xattrs={"user.n": b"n"}),
            Hardlink(f"d/{n}-link", to=f"d/{n}"), File("changed", b"x" * n, mode=0o640, xattrs=acl),
            *([Whiteout(f"d/{n - 3}")] if n > 2 else []), *([Opaque("e")] if n % 5 == 4 else []),
            Dir("e"), Symlink(f"e/{n}", to=f"../d/{n}"), compression=("none", "gzip")[n % 2],
        )
        for n in range(count)
    ]  # fmt: skip


@replicates("ZFS-067", "PROTOCOL.md, receive; zfs-send(8)")
def test_a_long_stack_arrives_with_all_that_it_has(one, two):
    """A stack of 32 layers has its files, owners, whiteouts, links, attributes and ACLs."""
    layers = long_stack(32)
    two.receive(one.send(*layers), *layers)
    assert two.tree(*layers) == model.apply(*layers)
    assert two.tree(*layers[:9]) == model.apply(*layers[:9])


@replicates("ZFS-068", "PROTOCOL.md, receive: removed as any other")
def test_what_was_received_can_be_removed_and_leaves_nothing(one, two, host):
    """When all layers of a received stack have been removed, nothing of them is left."""
    two.receive(one.send(A, B, C), A, B, C)
    for layer in (C, B, A):
        assert two.call("remove", digest=layer.digest).removed
    assert host.zfs.datasets(two.dataset) in ([], [two.dataset])
    assert host.zfs.snapshots(two.dataset) == []
    assert one.tree(A, B, C) == model.apply(A, B, C)


@replicates("ZFS-069", "PROTOCOL.md, receive: digest-mismatch")
@pytest.mark.parametrize("which", ["first", "last"])
def test_a_changed_byte_is_found_and_nothing_is_left(one, two, host, which):
    """A file in which a byte of a layer was changed is refused, and nothing of it is left."""
    path = one.send(A, B)
    data = host.read(path)
    piece = incompressible(64 << 10)[32 << 10 :][:64]
    at = data.find(piece) if which == "first" else data.rfind(piece)
    if at < 0:
        pytest.skip("the file holds no layer as it is")
    host.write(path, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    before = state(two)
    others = () if which == "first" else ("decompression-error", "validation-error")
    with two.refuses("digest-mismatch", *others):
        two.call("receive", path=path)
    assert state(two) == before


@replicates("ZFS-075", "PROTOCOL.md, 3: killed at any moment; open cleans up after it")
@pytest.mark.parametrize("datasets", [1, 3])
def test_what_a_killed_receive_has_begun_is_gone(one, two, host, datasets):
    """When receive is killed while it makes datasets, all of it can be received afterwards."""
    base = Layer(File("big", incompressible(16 << 20)))
    path = one.send(base, B, C)
    before = len(host.zfs.datasets(two.dataset))
    receiving = two.begin("receive", path=path)
    for _ in range(100):
        if len(host.zfs.datasets(two.dataset)) >= before + datasets:
            break
    receiving.signal(signal.SIGKILL)
    with contextlib.suppress(SubjectCrashed):
        receiving.result()

    two.restart()
    two.open()
    two.receive(path, base, B, C)
    assert two.tree(base, B, C) == model.apply(base, B, C)
    for layer in (C, B, base):
        assert two.call("remove", digest=layer.digest).removed
    assert host.zfs.datasets(two.dataset) in ([], [two.dataset])
    assert host.zfs.snapshots(two.dataset) == []
