"""Unmounting: a view ends when it is asked to, unless somebody uses it; nothing else ends."""

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import Dir, File, Layer

A = Layer(Dir("d"), File("d/a"), File("x"), Dir("mnt"))
B = Layer(Dir("d"), File("d/b"), File("x", b"other"))
BUSY = "PROTOCOL.md, unmount; umount(2), EBUSY"


@clause("UNM-001", MUST, "PROTOCOL.md, unmount; umount(2)")
@pytest.mark.parametrize("process", ["the same process", "another process"])
def test_unmount_ends_the_view(subject, host, process):
    """After unmount there is no mount at the target, whichever process made it."""
    root = subject.stack(A, B)
    assert host.tree(root) == model.apply(A, B)
    if process == "another process":
        subject.restart()

    subject.unmount(root)
    assert not host.exists(root)


@clause("UNM-002", MUST, f"{BUSY}; reported as containerd#1785, containerd#10704")
@pytest.mark.parametrize("how", ["cwd", "fd"])
def test_a_busy_view_is_not_unmounted(subject, host, how):
    """A view in use is refused; it stays whole, and a retry works later."""
    root = subject.stack(A, B)
    with host.hold(f"{root}/d", how):
        with subject.refuses("unmount-failed"):
            subject.unmount(root)
        assert host.tree(root) == model.apply(A, B)

    subject.unmount(root)


@clause("UNM-003", MUST, f"{BUSY}; PROTOCOL.md, 3", needs=("writable",))
@pytest.mark.parametrize("how", ["cwd", "fd"])
def test_changes_survive_an_unmount_that_was_refused(subject, host, how):
    """After a refused unmount a writable view still has its changes, and still takes more."""
    root = subject.stack(A, B, writable=True)
    host.write(f"{root}/new", b"1")
    with host.hold(f"{root}/new" if how == "fd" else root, how):
        with subject.refuses("unmount-failed"):
            subject.unmount(root)
        assert host.read(f"{root}/new") == b"1"
        host.write(f"{root}/new", b"2")
        assert host.read(f"{root}/new") == b"2"

    subject.unmount(root)


@clause("UNM-004", MUST, f"{BUSY}")
def test_a_view_with_a_mount_below_is_not_unmounted(subject, host):
    """A view with a mount below it is refused, with the nested mount; both stay until it goes."""
    root = subject.stack(A, B)
    inner = subject.stack(B, target=f"{root}/mnt")
    with subject.refuses("unmount-failed"):
        subject.unmount(root)
    assert host.tree(inner) == model.apply(B)

    subject.unmount(inner)
    subject.unmount(root)


@clause("UNM-014", SHOULD, BUSY)
@pytest.mark.parametrize("how", ["cwd", "fd", "a mount below"])
def test_who_keeps_a_view_busy_is_told(subject, host, how):
    """Where a view in use is refused, the holder is the process, or the mount below it."""
    root = subject.stack(A, B)
    if how == "a mount below":
        inner = subject.stack(B, target=f"{root}/mnt")
        with subject.refuses("unmount-failed") as refused:
            subject.unmount(root)
        subject.unmount(inner)
        assert inner in refused.holder
    else:
        with host.hold(f"{root}/d", how) as held, subject.refuses("unmount-failed") as refused:
            subject.unmount(root)
        assert str(held.pid) in refused.holder

    subject.unmount(root)


@clause("UNM-005", SHOULD, "PROTOCOL.md, unmount; mount_namespaces(7)")
def test_a_view_that_lives_in_another_namespace_is_in_use(subject, host):
    """A view of which another mount namespace has a copy is refused, since it would live on."""
    root = subject.stack(A, B)
    with host.hold(root, "namespace") as held:
        with subject.refuses("unmount-failed") as refused:
            subject.unmount(root)
        assert str(held.pid) in refused.holder
        assert host.tree(root) == model.apply(A, B)

    subject.unmount(root)


@clause("UNM-006", MUST, "PROTOCOL.md, invalid-mount-point")
@pytest.mark.parametrize("what", ["nothing", "a directory", "a file", "somebody else's mount"])
def test_what_is_no_view_is_not_unmounted(subject, host, what):
    """A target at which the store has no view is refused, and what is there stays."""
    target = subject.path("target")
    if what == "a directory":
        host.mkdir(target)
    elif what == "a file":
        host.write(target, b"precious")
    elif what == "somebody else's mount":
        with host.mount_tmpfs(target):
            host.write(f"{target}/precious", b"precious")
            with subject.refuses("invalid-mount-point"):
                subject.call("unmount", target=target)
            assert host.read(f"{target}/precious") == b"precious"
        return

    with subject.refuses("invalid-mount-point"):
        subject.call("unmount", target=target)
    assert host.exists(target) == (what != "nothing")


@clause("UNM-007", MUST, "PROTOCOL.md, invalid-mount-point: no view of this store")
def test_a_view_of_another_store_is_not_unmounted(subject, subject_at, host):
    """A view of another store is refused, and stays as it is."""
    other = subject_at("other")
    with other.stacked(A, B) as root:
        with subject.refuses("invalid-mount-point"):
            subject.call("unmount", target=root)
        assert host.tree(root) == model.apply(A, B)


@clause("UNM-008", MUST, "PROTOCOL.md, unmount: has already gone, by somebody else's umount")
def test_a_view_that_somebody_unmounted_is_tidied_up(subject, host):
    """When the view has already gone, unmount succeeds, and the layers are free again."""
    root = subject.stack(A, B)
    done = host.run(["umount", root])
    assert done.status == 0, done.stderr

    subject.unmount(root)
    for layer in (A, B):
        assert subject.call("remove", digest=layer.digest).removed


@clause("UNM-009", MUST, "PROTOCOL.md, invalid-mount-point")
def test_a_view_is_unmounted_once(subject):
    """Unmounting a view a second time is refused, for then it is none."""
    root = subject.stack(A, B)
    subject.unmount(root)

    with subject.refuses("invalid-mount-point"):
        subject.unmount(root)


@clause("UNM-010", MUST, "PROTOCOL.md, 3: unmount discards", needs=("writable",))
def test_what_was_not_committed_is_discarded(subject, host):
    """What was changed in a writable view is gone with it, and the layers are as they were."""
    with subject.stacked(A, B, writable=True) as root:
        host.write(f"{root}/new", b"x" * 100_000)
        host.call("unlink", f"{root}/x")

    with subject.stacked(A, B, writable=True) as root:
        assert host.tree(root) == model.apply(A, B)


@clause("UNM-011", MUST, "PROTOCOL.md, close: unmounts every view of the store")
@pytest.mark.parametrize("process", ["the same process", "another process"])
def test_close_unmounts_all_views(subject, host, process):
    """After close no view of the store is left, nor a directory that was made for one."""
    roots = [subject.stack(A, B), subject.stack(A), subject.stack(B, A)]
    if process == "another process":
        subject.restart()
    subject.call("close")

    assert not [root for root in roots if subject.is_mounted(root) or host.exists(root)]
    subject.open()
    assert subject.digests() == {A.digest, B.digest}


@clause("UNM-012", MUST, "PROTOCOL.md, unmount; reported as moby#20153")
def test_each_view_ends_by_itself(subject, host):
    """Of two views of the same layers, one stays whole, and keeps them, when the other ends."""
    one, two = subject.stack(A, B), subject.stack(A, B)
    subject.unmount(one)

    assert host.tree(two) == model.apply(A, B)
    subject.remove_if_free(A)
    assert host.tree(two) == model.apply(A, B)
    subject.unmount(two)
    subject.call("remove", digest=A.digest)
    assert subject.digests() == {B.digest}


@clause(
    "UNM-013", MUST, "PROTOCOL.md, 3: a failed operation leaves nothing; reported as moby#20153"
)
def test_a_view_that_could_not_be_made_holds_nothing(subject, host):
    """After a stack that was refused, its layers can be removed."""
    target = host.write(subject.path("target"), b"a file")
    with subject.refuses("invalid-mount-point"):
        subject.stack(A, target=target)

    assert subject.call("remove", digest=A.digest).removed
