from __future__ import annotations

import pytest

from layerfs import whiteout
from layerfs.errors import HostileLayerError
from layerfs.whiteout import Opaque, Whiteout, classify, marker, opaque_marker


@pytest.mark.parametrize(
    "name",
    [b"etc", b"etc/passwd", b"a.wh.b", b"d/a.wh.b", b".who/x", b".w", b"wh.", b".wh", b"d/.wh/x"],
)
@pytest.mark.parametrize("is_dir", [False, True])
def test_ordinary_names_are_no_whiteouts(name, is_dir):
    assert classify(name, is_dir=is_dir) is None


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        (b".wh.etc", Whiteout(b"etc")),
        (b"d/e/.wh.f", Whiteout(b"d/e/f")),
        (b".wh. ", Whiteout(b" ")),
        (b".wh.....", Whiteout(b"....")),
        (b".wh.\xff\n", Whiteout(b"\xff\n")),
        (b".wh..wh", Whiteout(b".wh")),
        (b".wh..hidden", Whiteout(b".hidden")),
        (b".wh..wh..opq", Opaque(b".")),
        (b"d/e/.wh..wh..opq", Opaque(b"d/e")),
    ],
)
def test_markers_name_what_they_hide(name, meaning):
    assert classify(name) == meaning


@pytest.mark.parametrize(
    "name",
    [
        b".wh.",
        b".wh..",
        b".wh...",
        b"d/.wh.",
        b"d/.wh..",
        b"d/.wh...",
        b".wh..wh.",
        b".wh..wh.x",
        b".wh..wh..opqx",
        b".wh..wh..wh..opq",
        b".wh..wh.plnk",
        b".wh.d/x",
        b"a/.wh.d/x",
        b".wh..wh..opq/x",
        b".wh.d/.wh.x",
        b".wh.a/.wh..wh..opq",
    ],
)
def test_forged_markers_are_hostile_and_named(name):
    with pytest.raises(HostileLayerError) as caught:
        classify(name)
    assert caught.value.path is not None
    assert repr(name) in caught.value.message


@pytest.mark.parametrize("name", [b".wh.d", b"x/.wh.d", b".wh..wh..opq"])
def test_a_directory_cannot_be_a_marker(name):
    with pytest.raises(HostileLayerError, match="directory"):
        classify(name, is_dir=True)


@pytest.mark.parametrize("path", [b"etc", b"d/e/f", b"d/\xff", b"...", b"d/.wh"])
def test_marker_and_classify_are_inverse(path):
    assert classify(marker(path)) == Whiteout(path)


@pytest.mark.parametrize("directory", [b".", b"d", b"d/e"])
def test_opaque_marker_and_classify_are_inverse(directory):
    assert classify(opaque_marker(directory)) == Opaque(directory)


@pytest.mark.parametrize("path", [b"", b".", b"..", b"d/", b"d/..", b".wh.x", b"d/.wh..wh..opq"])
def test_no_marker_is_made_for_what_cannot_be_hidden(path):
    with pytest.raises(HostileLayerError, match="no whiteout can name it"):
        marker(path)


def test_the_opaque_marker_begins_with_the_prefix_twice():
    assert whiteout.OPAQUE == whiteout.PREFIX * 2 + b".opq"
