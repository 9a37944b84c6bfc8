"""Merge: one layer that says what several say, wherever they stand."""

import pytest

from conformance import model
from conformance.clauses import MUST, clause
from conformance.layers import (
    Dir,
    Fifo,
    File,
    Hardlink,
    Layer,
    Opaque,
    Symlink,
    Whiteout,
    sha256,
)

MERGE = "PROTOCOL.md, merge; image-spec layer.md, Applying Changesets"

BELOW = Layer(
    Dir("d", mode=0o711),
    File("d/lowest"),
    File("x", b"lowest"),
    Dir("e"),
    File("e/f"),
    Dir("p"),
    File("p/lowest"),
)
BASE = Layer(
    Dir("d", mode=0o750, xattrs={"user.a": b"1"}),
    File("d/a", mode=0o4755),
    File("d/b"),
    Symlink("l", to="d"),
    File("x"),
    Hardlink("y", to="x"),
    Fifo("p"),
)
UPPERS = {
    "additions": Layer(Dir("d", mode=0o700, mtime_ns=3), File("d/c"), Hardlink("z", to="d/c")),
    "replacements": Layer(File("x", b"new"), Dir("p"), File("p/q"), File("l", b"no symlink")),
    "whiteouts": Layer(Whiteout("x"), Whiteout("l"), Whiteout("e"), Whiteout("nothing")),
    "an opaque directory": Layer(Dir("d"), Opaque("d"), File("d/only")),
    "an opaque root": Layer(Opaque("."), File("only")),
    "a directory made anew": Layer(Whiteout("d"), Dir("d"), File("d/n")),
    "directories without entries": Layer(File("d/new"), File("fresh/new"), Whiteout("d/a")),
    "nothing": Layer(),
}


def merging(id_, level, source):
    """Return the mark of a clause of this area."""
    return clause(id_, level, source, needs=("merge",))


@merging("MRG-001", MUST, MERGE)
@pytest.mark.parametrize("upper", UPPERS)
def test_a_merge_is_the_stack_of_its_layers(subject, upper):
    """The merged layer by itself gives the tree that its layers give when they are stacked."""
    merged = subject.merge(BASE, UPPERS[upper])

    assert subject.tree(merged) == model.apply(BASE, UPPERS[upper])


@merging("MRG-002", MUST, f"{MERGE}: also on top of any other layers")
@pytest.mark.parametrize("upper", UPPERS)
def test_a_merge_can_stand_where_its_layers_stood(subject, upper):
    """The merged layer on other layers gives what its layers give there: whiteouts are kept."""
    merged = subject.merge(BASE, UPPERS[upper])

    assert subject.tree(BELOW, merged) == model.apply(BELOW, BASE, UPPERS[upper])


@merging("MRG-003", MUST, MERGE)
@pytest.mark.parametrize("layers", [[BASE], [BASE, BASE], [BASE, BELOW, BASE]], ids=[1, 2, 3])
def test_one_layer_and_layers_named_twice_can_be_merged(subject, layers):
    """A merge of one layer is that layer's tree; what is named twice counts at its last place."""
    assert subject.tree(subject.merge(*layers)) == model.apply(*layers)


@merging("MRG-004", MUST, "PROTOCOL.md, merge, validation-error and layer-not-found")
def test_a_merge_of_nothing_or_of_the_unknown_is_refused(subject):
    """A merge of no layers, or of one that is not there, is refused, and makes no layer."""
    subject.add(BASE)
    with subject.refuses("validation-error"):
        subject.merge()
    with subject.refuses("layer-not-found"):
        subject.merge(BASE, "sha256:" + "0" * 64)
    assert subject.digests() == {BASE.digest}


@merging("MRG-005", MUST, "PROTOCOL.md, merge: the same bytes each time")
def test_the_same_merge_is_the_same_layer(subject):
    """Merging the same list twice gives one layer; another order is another."""
    upper = UPPERS["replacements"]
    first = subject.merge(BASE, upper)

    assert subject.merge(BASE, upper) == first
    assert subject.merge(upper, BASE) != first
    assert len(subject.digests()) == 4


@merging("MRG-006", MUST, "PROTOCOL.md, merge: its sources stay")
def test_the_sources_of_a_merge_stay(subject):
    """The merged layers are as they were, and the result does not need them."""
    upper = UPPERS["whiteouts"]
    merged = subject.merge(BASE, upper)
    assert subject.tree(BASE, upper) == model.apply(BASE, upper)
    assert subject.digests() == {BASE.digest, upper.digest, merged}

    for layer in (BASE, upper):
        assert subject.call("remove", digest=layer.digest).removed
    assert subject.tree(merged) == model.apply(BASE, upper)


@merging("MRG-007", MUST, MERGE)
def test_merges_can_be_merged(subject):
    """Merging is associative: in whatever groups layers are merged, the tree is the same."""
    layers = [BELOW, BASE, UPPERS["whiteouts"], UPPERS["additions"]]
    left = subject.merge(subject.merge(subject.merge(*layers[:2]), layers[2]), layers[3])
    right = subject.merge(layers[0], subject.merge(layers[1], subject.merge(*layers[2:])))

    assert subject.tree(left) == subject.tree(right) == model.apply(*layers)


@clause("MRG-008", MUST, "image-spec descriptor.md, Digests", needs=("merge", "export"))
def test_the_digests_of_a_merge_are_true(subject):
    """Digest, diffID and size of a merged layer are those of the archive that it is."""
    merged = subject.merge(BELOW, BASE, UPPERS["whiteouts"])
    told = subject.call("get", digest=merged).layer
    found = subject.export(digests=[merged])

    (blob,), (tar,) = found.blobs, found.tars()
    assert (told.digest, told.size, told.diff_id) == (sha256(blob), len(blob), sha256(tar))
    assert model.apply(*found.layers()) == model.apply(BELOW, BASE, UPPERS["whiteouts"])
