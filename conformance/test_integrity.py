"""Integrity: damage is found where it is, and mended from what is whole.

A failing disk is stood for by ``faults.damage``, which spoils bytes that the case itself put into a
layer (PROTOCOL.md, section 6). In a compressed blob these bytes do not occur, so there only the
unpacked tree is damaged.
"""

import os

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.faults import damage
from conformance.layers import Dir, Fifo, File, Hardlink, Layer, Symlink

VERIFY = "PROTOCOL.md, verify"


def marked(path, compression):
    """Return a layer with a file that can be found by its content, and that content."""
    marker = os.urandom(64)
    content = os.urandom(5000) + marker + os.urandom(5000)
    layer = Layer(Dir("d"), File("d/other"), File(path, content), compression=compression)
    return layer, marker


def spoil(subject, host, marker):
    """Damage the store's copies of a marker; the case is unsupported where there are none."""
    if not damage(host, subject.store, marker):
        pytest.skip("target: the store has no files in which the layer's content stands as such")


@clause("VER-001", MUST, VERIFY, needs=("verify",))
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_is_whole_is_not_called_damaged(subject, compression):
    """Layers with all that layers can have are whole, before, while and after they are mounted."""
    layer = Layer(
        Dir("./", mode=0o711),
        File("f", mode=0o4711, xattrs={"user.a": b"1"}),
        Hardlink("h", to="f"),
        Symlink("l", to="nowhere"),
        Fifo("p"),
        File("no/entry/for/its/parents"),
        File("twice", b"1"),
        File("twice", b"2"),
        Dir("d", mode=0),
        compression=compression,
    )
    subject.add(layer)
    assert subject.call("verify").damaged == ()
    with subject.stacked(layer):
        assert subject.call("verify", digests=[layer.digest]).damaged == ()
    assert subject.call("verify").damaged == ()


@clause("VER-002", MUST, VERIFY, needs=("verify",))
def test_an_unknown_layer_cannot_be_verified(subject):
    """Verifying a layer that is not there is layer-not-found, and not silence."""
    with subject.refuses("layer-not-found"):
        subject.call("verify", digests=["sha256:" + "0" * 64])


@clause("VER-003", MUST, f"{VERIFY}; reported as containerd#8678", needs=("verify",))
@pytest.mark.parametrize("path", ["d/damaged", "new\nline"])
def test_damage_in_a_tree_is_found_and_named(subject, host, path):
    """A changed byte in a layer's unpacked tree is found, with the layer and the path."""
    layer, marker = marked(path, "gzip")
    subject.add(Layer(File("whole")))
    assert subject.tree(layer) == model.apply(layer)
    spoil(subject, host, marker)

    damaged = subject.call("verify").damaged
    assert {(one.digest, one.path) for one in damaged} == {(layer.digest, path)}


@clause("VER-004", MUST, f"{VERIFY}: path is null for the blob", needs=("verify",))
def test_damage_in_a_blob_is_found_and_named(subject, host):
    """A changed byte in a stored blob is found, with the layer, and with no path."""
    layer, marker = marked("d/damaged", "none")
    subject.add(Layer(File("whole")))
    subject.add(layer)
    spoil(subject, host, marker)

    damaged = subject.call("verify").damaged
    assert {one.digest for one in damaged} == {layer.digest}
    assert None in {one.path for one in damaged}


@clause(
    "VER-005", SHOULD, "PROTOCOL.md, repair; reported as storage#2095", needs=("verify", "repair")
)
def test_a_damaged_tree_is_mended(subject, host):
    """Repair makes a damaged layer whole from its blob, and touches no other."""
    layer, marker = marked("d/damaged", "gzip")
    whole = Layer(File("whole"))
    subject.add(whole)
    assert subject.tree(layer) == model.apply(layer)
    spoil(subject, host, marker)

    answer = subject.call("repair")
    assert (answer.repaired, answer.failed) == ((layer.digest,), ())
    assert subject.call("verify").damaged == ()
    assert subject.tree(whole, layer) == model.apply(whole, layer)


@clause("VER-006", SHOULD, "PROTOCOL.md, repair: failed", needs=("verify", "repair"))
def test_what_cannot_be_mended_is_told(subject, host):
    """A layer of which nothing whole is left is not called repaired until it was added again."""
    layer, marker = marked("d/damaged", "none")
    subject.add(layer)
    spoil(subject, host, marker)

    answer = subject.call("repair")
    assert (answer.repaired, [one.digest for one in answer.failed]) == ((), [layer.digest])
    assert {one.digest for one in subject.call("verify").damaged} == {layer.digest}
    subject.add(layer)
    assert subject.call("repair").failed == ()
    assert subject.call("verify").damaged == ()
    assert subject.tree(layer) == model.apply(layer)
