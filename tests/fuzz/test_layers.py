"""A few of the random layers, the same each time; and whether the oracle is one."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, seed, settings

import conformance.layers as words
from conformance.layers import Dir, File, Hardlink, Layer, Opaque, Symlink, Whiteout
from layerfs import layertree
from layerfs.whiteout import Opaque as OpaqueMark

from ..layerfs.isolation import (  # noqa: TID252 - tests is no package to name
    both_ways,
    isolated,
    needs_root,
)
from .hostile import Stack, World, expectation, raw, stacks
from .layers import arena, trial

ROOT = World(root=True)


@both_ways
def test_random_layers_are_what_the_model_says_or_refused(rootless, tmp_path):
    world = World(root=not rootless)
    with arena(tmp_path) as made:
        seed(1)(trial(made, world, 40))()
    assert made.counts["applied"] >= 5
    assert made.counts["refused"] >= 5


@needs_root
@isolated
def test_a_store_that_ignores_opaque_markers_is_noticed(tmp_path, monkeypatch):
    enter = layertree.LayerTree._mark
    monkeypatch.setattr(
        layertree.LayerTree,
        "_mark",
        lambda self, mark: None if isinstance(mark, OpaqueMark) else enter(self, mark),
    )
    with arena(tmp_path) as made, pytest.raises(AssertionError, match="missing on the right"):
        made.try_out([Layer(Dir("d"), File("d/x")), Layer(Dir("d"), Opaque("d"))], ROOT)


@needs_root
@isolated
def test_what_a_refusal_leaves_behind_is_noticed(tmp_path, monkeypatch):
    with arena(tmp_path) as made:
        add = made.store.add_layer

        def littering(blob: io.BytesIO, media_type: str):
            (made.store.root / "staging" / "left").write_bytes(b"")
            return add(blob, media_type)

        monkeypatch.setattr(made.store, "add_layer", littering)
        with pytest.raises(AssertionError, match="left something behind"):
            made.try_out([Layer(File("../x"))], ROOT)


WRONG = {
    "a way out": [File("../x")],
    "a parent that is a file": [File("a"), File("a/b")],
    "a hard link to nothing": [Hardlink("a", to="b")],
    "a bare marker": [File("d/.wh.")],
    "an entry below a marker": [File(".wh.a/b")],
    "a symlink that leads nowhere": [Symlink("l", to="/canary"), File("l/f")],
}
OPEN = {
    "a directory without an entry over a file": [Layer(File("a")), Layer(File("a/b"))],
    "a marker's directory over nothing": [Layer(File("a")), Layer(Whiteout("d/b"))],
    "a symlink to a marker's directory": [
        Layer(Symlink("x", to="a"), Opaque("a"), File("x/x")),
    ],
    "damage": [Layer(raw("eJwDAAAAAAE="))],
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_must_be_refused(name):
    assert expectation([Layer(*WRONG[name])], ROOT) == "refused"


@pytest.mark.parametrize("name", OPEN)
def test_what_is_left_open_may_be_anything(name):
    assert expectation(OPEN[name], ROOT) == "anything"


def test_an_emptied_directory_leaves_nothing_open():
    layers = [Layer(File("a")), Layer(Whiteout("a"), File("a/b"))]
    assert set(expectation(layers, ROOT)) == {"a", "a/b"}


def test_marks_of_overlayfs_are_not_expected():
    tree = expectation([Layer(Dir("d", xattrs={"trusted.overlay.opaque": b"y"}))], ROOT)
    assert tree["d"].xattrs == ()


def test_a_finding_is_shown_as_what_makes_it_again():
    shown = []

    @seed(3)
    def collect(stack: Stack) -> None:
        shown.append((stack, repr(stack)))

    settings(max_examples=20, database=None, deadline=None)(given(stack=stacks(ROOT))(collect))()
    for stack, text in shown:
        names = {name: getattr(words, name) for name in words.__all__}
        assert eval(text, {**names, "Stack": Stack, "raw": raw}) == stack
