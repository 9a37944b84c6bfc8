"""Life cycle: stores are opened and closed, layers removed and kept, and nothing is half done."""

import contextlib
import os
import signal

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.disks import on_disk
from conformance.driver import Driver
from conformance.layers import Dir, File, Layer
from harness.errors import Refused, SubjectCrashed

A = Layer(Dir("d"), File("d/a"), File("x"))
B = Layer(Dir("d"), File("d/b"), File("x", b"other"))
UNKNOWN = "sha256:" + "0" * 64


@clause("LIF-001", MUST, "PROTOCOL.md, 2: repeating open is harmless")
def test_opening_a_store_again_changes_nothing(subject, host):
    """Opening a store that is open, with views and layers, leaves them as they are."""
    with subject.stacked(A, B) as root:
        subject.open()
        subject.restart()
        subject.open()
        assert host.tree(root) == model.apply(A, B)
        assert subject.digests() == {A.digest, B.digest}


@clause("LIF-002", SHOULD, "PROTOCOL.md, storage-error and path-error")
@pytest.mark.parametrize("what", ["a file", "somebody's directory"])
def test_a_store_is_not_made_of_something_else(subject, host, what):
    """A path that is a file or a directory with foreign content is no store, and is not changed."""
    path = subject.path("there")
    if what == "a file":
        host.write(path, b"precious")
    else:
        host.write(f"{host.mkdir(path)}/precious", b"precious")
    before = host.tree(path)

    with subject.refuses("storage-error", "path-error"):
        Driver(subject.raw, host, subject.directory, path).open()
    assert host.tree(path) == before


@clause("LIF-003", MUST, "PROTOCOL.md, 2: open creates the store")
def test_requests_to_a_store_that_was_never_opened_are_refused(subject, host):
    """A directory that is no store is refused by the other verbs, and nothing is made in it."""
    path = host.mkdir(subject.path("empty"))

    with subject.refuses("storage-error", "path-error"):
        subject.raw.call("list", store=path)
    with subject.refuses("storage-error", "path-error"):
        subject.raw.call("add", store=path, path=subject.put(A.blob()))
    assert host.listdir(path) == []


@clause("LIF-004", MUST, "PROTOCOL.md, remove")
def test_a_removed_layer_is_gone(subject):
    """After remove, a layer is not listed, not found, and cannot be stacked; others stay."""
    subject.add(A)
    subject.add(B)
    assert subject.call("remove", digest=A.digest).removed

    assert subject.digests() == {B.digest}
    with subject.refuses("layer-not-found"):
        subject.call("get", digest=A.digest)
    with subject.refuses("layer-not-found"):
        subject.stack(B, A.digest)
    assert subject.tree(B) == model.apply(B)


@clause("LIF-005", MUST, "PROTOCOL.md, remove; reported as moby#40132, moby#43080")
def test_removing_what_is_not_there_succeeds(subject):
    """Removing an unknown layer, or one a second time, is no error, and says that it was gone."""
    assert subject.call("remove", digest=UNKNOWN).removed is False
    subject.add(A)
    assert subject.call("remove", digest=A.digest).removed is True
    assert subject.call("remove", digest=A.digest).removed is False

    subject.add(A)
    assert subject.tree(A) == model.apply(A)


@clause("LIF-006", MUST, "PROTOCOL.md, remove: mounted")
def test_a_view_stays_whole_whatever_is_removed(subject, host):
    """A layer of a view is refused, or the view stays whole without it; later it can be removed."""
    with subject.stacked(A, B) as root:
        subject.remove_if_free(A, B)
        assert host.tree(root) == model.apply(A, B)

    for layer in (A, B):
        subject.call("remove", digest=layer.digest)
    assert subject.digests() == set()


@clause("LIF-022", SHOULD, "PROTOCOL.md, remove: mounted")
def test_a_mounted_layer_is_refused_with_its_view(subject):
    """A layer of a view is refused, and the holder is the view's target."""
    with subject.stacked(A, B) as root:
        for layer in (A, B):
            with subject.refuses("layer-in-use") as refused:
                subject.call("remove", digest=layer.digest)
            assert root in refused.holder
        assert subject.digests() == {A.digest, B.digest}


@clause("LIF-007", MUST, "PROTOCOL.md, remove: leased", needs=("lease",))
def test_a_leased_layer_is_not_removed(subject):
    """A leased layer is refused, with the lease's name, until the lease is released."""
    subject.call("lease", name="builder", digests=[subject.add(A)])
    with subject.refuses("layer-in-use") as refused:
        subject.call("remove", digest=A.digest)
    assert "builder" in refused.holder

    subject.call("release", name="builder")
    assert subject.call("remove", digest=A.digest).removed


@clause("LIF-008", MUST, "PROTOCOL.md, lease", needs=("lease",))
def test_a_lease_can_be_added_to_and_is_given_up_as_a_whole(subject):
    """Leasing under a name that is taken adds to it; an unknown layer cannot be leased."""
    subject.call("lease", name="x", digests=[subject.add(A)])
    subject.call("lease", name="x", digests=[subject.add(B)])
    with subject.refuses("layer-not-found"):
        subject.call("lease", name="y", digests=[UNKNOWN])
    for layer in (A, B):
        with subject.refuses("layer-in-use"):
            subject.call("remove", digest=layer.digest)

    subject.call("release", name="nobody's")
    subject.call("release", name="x")
    for layer in (A, B):
        assert subject.call("remove", digest=layer.digest).removed


@clause("LIF-009", MUST, "PROTOCOL.md, remove: a dependency of another", needs=("dependencies",))
def test_a_layer_that_others_depend_on_is_not_removed(subject):
    """A dependency is refused, with the layer that depends on it, for as long as that is there."""
    subject.add(A)
    subject.add(B, dependencies=[A.digest])
    assert subject.call("get", digest=B.digest).layer.dependencies == (A.digest,)
    with subject.refuses("layer-in-use") as refused:
        subject.call("remove", digest=A.digest)
    assert B.digest in refused.holder

    assert subject.call("remove", digest=B.digest).removed
    assert subject.call("remove", digest=A.digest).removed


def chain(subject: Driver, *names: str, **depends: str) -> dict[str, str]:
    """Add a layer for each name; those in ``depends`` come after the ones that they name."""
    layers = {name: Layer(File(name)) for name in names}
    for name, layer in layers.items():
        wanted = [layers[one].digest for one in depends.get(name, "").split()]
        subject.add(layer, dependencies=wanted)
    return {name: layer.digest for name, layer in layers.items()}


@clause("LIF-010", MUST, "PROTOCOL.md, order", needs=("dependencies",))
@pytest.mark.parametrize(
    ("asked", "depends", "ordered"),
    [
        ("a b c", {}, "a b c"),
        ("c b a", {}, "c b a"),
        ("c b a", {"c": "b", "b": "a"}, "a b c"),
        ("d b c a", {"b": "a", "c": "a", "d": "b c"}, "a b c d"),
        ("b d a c", {"d": "c"}, "b c d a"),
        ("b a b", {"b": "a"}, "a b"),
    ],
    ids=["as given", "as given, too", "a chain", "a diamond", "stable", "twice"],
)
def test_dependencies_come_first_and_else_nothing_moves(subject, asked, depends, ordered):
    """Layers are ordered with dependencies first, and otherwise as they were given."""
    digests = chain(subject, *sorted(set(asked.split())), **depends)
    answer = subject.call("order", digests=[digests[name] for name in asked.split()]).digests

    subject.expect_service()
    names = {digest: name for name, digest in digests.items()}
    told = [names[digest] for digest in answer]
    if ordered == "b c d a":
        assert told in (["b", "c", "d", "a"], ["b", "a", "c", "d"])
    else:
        assert told == ordered.split()


@clause("LIF-011", MUST, "PROTOCOL.md, invalid-layer-order", needs=("dependencies",))
def test_a_missing_dependency_is_told(subject):
    """A dependency that is not in the store is no error of add, but one of order."""
    missing = Layer(File("missing"))
    subject.add(A, dependencies=[missing.digest])
    with subject.refuses("invalid-layer-order"):
        subject.call("order", digests=[A.digest])

    subject.add(missing)
    assert subject.call("order").digests == (missing.digest, A.digest)


@clause("LIF-012", MUST, "PROTOCOL.md, circular-dependency", needs=("dependencies",))
@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_circle_of_dependencies_is_told(subject, length):
    """Layers that depend on each other in a circle cannot be ordered, and the circle is found."""
    subject.call("check-cycles")
    layers = [Layer(File(f"f{n}")) for n in range(length)]
    for n, layer in enumerate(layers):
        subject.add(layer, dependencies=[layers[(n + 1) % length].digest])

    with subject.refuses("circular-dependency"):
        subject.call("order")
    with subject.refuses("circular-dependency"):
        subject.call("check-cycles")


@clause("LIF-013", SHOULD, "PROTOCOL.md, order: at any depth", needs=("dependencies",))
def test_a_chain_of_a_thousand_and_more_can_be_ordered(subject):
    """A chain of dependencies deeper than any call stack is ordered like a short one."""
    layers = [Layer(File(f"f{n}")) for n in range(1100)]
    digests = [subject.add(layers[0])]
    for layer in layers[1:]:
        digests.append(subject.add(layer, dependencies=[digests[-1]]))

    assert list(subject.call("order", digests=digests[::-1]).digests) == digests
    subject.call("check-cycles")


@clause("LIF-014", MUST, "PROTOCOL.md, readonly-store", needs=("session", "readonly-store"))
def test_a_store_opened_read_only_takes_no_change(subject):
    """A store that was opened read-only answers questions, and refuses every change."""
    subject.add(A)
    session = subject.by("session")
    with session.raw:
        session.call("open", readonly=True)
        assert session.digests() == {A.digest}
        with session.refuses("read-only-filesystem"):
            session.add(B)
        with session.refuses("read-only-filesystem"):
            session.call("remove", digest=A.digest)

    subject.open()
    assert subject.digests() == {A.digest}
    assert subject.tree(A, B) == model.apply(A, B)


@clause(
    "LIF-015", MUST, "PROTOCOL.md, write-failed; write(2), ENOSPC", target_needs=("mount_tmpfs",)
)
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_full_disk_refuses_a_layer_and_keeps_the_rest(subject, raw_subject, host, compression):
    """Without space for a layer it is refused and leaves nothing; with space, it is taken."""
    big = Layer(File("big", os.urandom(6 << 20)), compression=compression)
    fields = {"path": subject.put(big.blob()), "media_type": big.media_type}
    with on_disk(raw_subject, host, 8) as small:
        small.add(A)
        free = small.free()
        with small.refuses("write-failed"):
            small.tree(small.call("add", **fields).layer.digest)
        if big.digest not in small.digests():
            assert small.free() >= free - (1 << 19)
        assert small.tree(A) == model.apply(A)

        small.resize(64)
        small.call("add", **fields)
        assert small.tree(big.digest, A) == model.apply(big, A)


def many_files() -> Layer:
    """Return a layer that takes a while to add, unlike any other."""
    return Layer(*(File(f"f{n}", os.urandom(20_000)) for n in range(300)))


def wait_until_written(host, process, size):
    """Wait until a process has written so many bytes (proc_pid_io(5)), or has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for _ in range(50_000):  # a second or more for each thousand
            counts = dict(
                line.split(b": ") for line in host.read(f"/proc/{process}/io").splitlines()
            )
            if int(counts[b"wchar"]) >= size:
                return


@clause("LIF-016", MUST, "PROTOCOL.md, 3: killed at any moment; reported as podman#14003")
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0, 1.5, 1.95])
def test_a_layer_is_whole_or_absent_when_add_is_killed(subject, host, share):
    """When add is killed, the layer is whole or absent, and adding it again succeeds."""
    layer = many_files()
    subject.add(A)
    adding = subject.begin("add", path=subject.put(layer.blob()))
    wait_until_written(host, adding.pid, int(layer.size * share))
    adding.signal(signal.SIGKILL)
    with contextlib.suppress(SubjectCrashed):
        adding.result()

    subject.restart()
    subject.open()
    if layer.digest in subject.digests():
        assert subject.tree(layer.digest) == model.apply(layer)
    subject.add(layer)
    assert subject.tree(layer, A) == model.apply(layer, A)


@clause("LIF-017", MUST, "PROTOCOL.md, 1: interrupted; signal(7)")
def test_an_interrupted_add_leaves_nothing_half_done(subject, host):
    """After SIGINT, add ends without a refusal, and leaves the layer whole or absent."""
    layer = many_files()
    adding = subject.begin("add", path=subject.put(layer.blob()))
    wait_until_written(host, adding.pid, layer.size // 2)
    adding.signal(signal.SIGINT)
    with contextlib.suppress(SubjectCrashed):
        adding.result()  # it may have been done already; a refusal fails the case

    if layer.digest in subject.digests():
        assert subject.tree(layer.digest) == model.apply(layer)
    subject.add(layer)
    assert subject.tree(layer) == model.apply(layer)


@clause("LIF-018", MUST, "PROTOCOL.md, stats", needs=("stats",))
def test_statistics_count_what_is_there(subject):
    """Layers, views, mounted and unused layers are counted as they are, at each moment."""
    assert stats(subject) == (0, 0, 0, 0)
    subject.add(A)
    subject.add(B)
    subject.add(Layer(File("c")))
    assert stats(subject) == (3, 0, 3, 0)
    with subject.stacked(A, B), subject.stacked(A):
        assert stats(subject) == (3, 2, 1, 2)
    assert stats(subject) == (3, 0, 3, 0)


def stats(subject: Driver) -> tuple[int, int, int, int]:
    """Return the counts of layers, mounted and unused layers, and mounts."""
    told = subject.call("stats")
    return told.layers, told.mounted, told.unused, told.mounts


@clause("LIF-019", SHOULD, "PROTOCOL.md, stats: bytes_total is measured", needs=("stats",))
def test_the_size_of_a_store_is_measured(subject):
    """The store's size grows by at least a layer's content when it is added, and shrinks again."""
    size = 4 << 20
    layer = Layer(File("random", os.urandom(size)))
    before = subject.call("stats").bytes_total
    subject.add(layer)
    with_it = subject.call("stats").bytes_total
    subject.call("remove", digest=layer.digest)

    assert size <= with_it - before <= 3 * size
    assert subject.call("stats").bytes_total - before < size // 4


@clause("LIF-020", SHOULD, "PROTOCOL.md, check", needs=("check",))
def test_check_finds_a_view_that_somebody_unmounted(subject, host):
    """A store in order has no problems; a view that is gone without the subject is one."""
    root = subject.stack(A, B)
    assert subject.call("check").problems == ()
    assert host.run(["umount", root]).status == 0

    problems = subject.call("check").problems
    assert root in {problem.path for problem in problems} | {""} or root in str(problems)
    subject.unmount(root)
    assert subject.call("check").problems == ()


@clause("LIF-021", MUST, "PROTOCOL.md, concurrent", needs=("concurrent",))
def test_processes_that_do_everything_at_once_only_refuse(subject):
    """Processes that add, stack and remove one layer at once succeed, or refuse rightly."""
    path = subject.put(A.blob())
    allowed = {"layer-not-found", "layer-in-use"}
    for _ in range(3):
        target = subject.path("view")
        calls = [
            subject.begin("add", path=path),
            subject.begin("stack", digests=[A.digest], target=target),
            subject.begin("remove", digest=A.digest),
            subject.begin("add", path=path),
        ]
        codes = set()
        for pending in calls:
            try:
                pending.result()
            except Refused as refused:
                codes.add(refused.code)
        assert codes <= allowed
        if subject.is_mounted(target):
            subject.unmount(target)

    subject.add(A)
    assert subject.tree(A) == model.apply(A)
