"""Garbage collection: what nothing keeps goes, what anything keeps stays."""

import os

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.disks import on_disk
from conformance.driver import Driver
from conformance.images import Image, layout
from conformance.layers import Dir, File, Layer

A = Layer(Dir("d"), File("d/a"), File("x"))
B = Layer(Dir("d"), File("d/b"), File("x", b"other"))
C = Layer(File("c"))


def garbage(id_, level, source, *needs, **more):
    """Return the mark of a clause of this area."""
    return clause(id_, level, source, needs=("gc", *needs), **more)


def collect(subject: Driver, **fields) -> set[str]:
    """Collect garbage, and return the digests that were removed."""
    answer = subject.call("gc", **fields)
    assert answer.errors == ()
    return {one.digest for one in answer.removed}


@garbage("GC-001", MUST, "PROTOCOL.md, gc")
def test_layers_that_nothing_keeps_are_removed(subject):
    """Every layer that nothing keeps is removed and named; a second run finds nothing more."""
    for layer in (A, B, C):
        subject.add(layer)
    assert collect(subject) == {A.digest, B.digest, C.digest}

    assert subject.digests() == set()
    assert collect(subject) == set()
    subject.add(A)
    assert subject.tree(A) == model.apply(A)


@garbage("GC-002", MUST, "PROTOCOL.md, gc: mounted")
@pytest.mark.parametrize("force", [False, True])
def test_mounted_layers_are_kept(subject, host, force):
    """Layers of a view are kept, also with force, and the view stays whole."""
    subject.add(C)
    with subject.stacked(A, B) as root:
        assert collect(subject, force=force) == {C.digest}
        assert subject.digests() == {A.digest, B.digest}
        assert host.tree(root) == model.apply(A, B)
    assert collect(subject) == {A.digest, B.digest}


@garbage("GC-003", MUST, "PROTOCOL.md, gc: leased; with force leases do not count", "lease")
def test_leased_layers_are_kept_until_force_or_release(subject):
    """Leased layers are kept; with force they are not; after release they are garbage."""
    subject.call("lease", name="one", digests=[subject.add(A)])
    subject.call("lease", name="two", digests=[subject.add(B)])
    assert collect(subject) == set()
    subject.call("release", name="one")
    assert collect(subject) == {A.digest}

    assert subject.digests() == {B.digest}
    assert collect(subject, force=True) == {B.digest}


@garbage("GC-004", MUST, "PROTOCOL.md, gc: a dependency of a kept layer", "lease", "dependencies")
def test_dependencies_of_kept_layers_are_kept(subject):
    """What a kept layer depends on, directly or not, is kept; a chain that nothing keeps goes."""
    chains = []
    for name in ("kept", "garbage"):
        layers = [Layer(File(f"{name}{n}")) for n in range(4)]
        before: list[str] = []
        for layer in layers:
            before = [subject.add(layer, dependencies=before)]
        chains.append({layer.digest for layer in layers})
    subject.call("lease", name="top", digests=[layers_top(subject, chains[0])])

    assert collect(subject) == chains[1]
    assert subject.digests() == chains[0]


def layers_top(subject: Driver, digests: set[str]) -> str:
    """Return the digest that none of the others depends on."""
    listed = {layer.digest: layer for layer in subject.call("list").layers}
    needed = {one for digest in digests for one in listed[digest].dependencies}
    (top,) = digests - needed
    return top


@garbage("GC-005", MUST, "PROTOCOL.md, gc and remove: in an image", "import")
@pytest.mark.parametrize("force", [False, True])
def test_layers_of_images_are_kept(subject, force):
    """Layers of an image are kept, also with force, and cannot be removed."""
    subject.call("import", path=subject.write_layout(layout(Image((A, B)))))
    subject.add(C)

    assert collect(subject, force=force) == {C.digest}
    with subject.refuses("layer-in-use"):
        subject.call("remove", digest=A.digest)
    assert subject.tree(A.digest, B.digest) == model.apply(A, B)


@garbage("GC-006", MUST, "PROTOCOL.md, gc: with dry_run nothing changes", "lease")
def test_a_dry_run_tells_what_would_be_done_and_does_nothing(subject):
    """A dry run names the layers that a real run then removes, and removes none itself."""
    for layer in (A, B):
        subject.add(layer)
    subject.call("lease", name="c", digests=[subject.add(C)])

    assert collect(subject, dry_run=True) == {A.digest, B.digest}
    assert collect(subject, dry_run=True, force=True) == {A.digest, B.digest, C.digest}
    assert subject.digests() == {A.digest, B.digest, C.digest}
    assert subject.tree(A, B, C) == model.apply(A, B, C)
    assert collect(subject) == {A.digest, B.digest}


@garbage("GC-007", SHOULD, "PROTOCOL.md, gc: measured on disk", target_needs=("mount_tmpfs",))
def test_the_space_of_removed_layers_is_free_again(subject, raw_subject, host):
    """What gc says it freed is what the disk has more, and close to what the layers took."""
    layers = [Layer(File(f"f{n}", os.urandom(2 << 20))) for n in range(3)]
    paths = [subject.put(layer.blob()) for layer in layers]
    with on_disk(raw_subject, host, 64) as small:
        empty = small.free()
        for path in paths:
            small.call("add", path=path)
        full = small.free()
        freed = small.call("gc").bytes_freed
        after = small.free()

    assert freed >= 3 << 21
    assert abs(freed - (after - full)) < 1 << 20
    assert empty - after < 1 << 20


@garbage("GC-008", MUST, "PROTOCOL.md, concurrent", "concurrent", "lease")
def test_garbage_can_be_collected_while_layers_are_added(subject):
    """Collecting while others add neither fails nor takes what is leased: layers stay whole."""
    subject.call("lease", name="kept", digests=[subject.add(A)])
    others = [Layer(File(f"f{n}", os.urandom(1 << 18)), compression="gzip") for n in range(3)]
    adding = [
        subject.begin("add", path=subject.put(layer.blob()), media_type=layer.media_type)
        for layer in others
    ]
    for _ in range(4):
        collect(subject)
    for pending in adding:
        pending.result()

    assert A.digest in subject.digests()
    for layer in others:
        if layer.digest in subject.digests():
            assert subject.tree(layer.digest) == model.apply(layer)
    assert subject.tree(A) == model.apply(A)
