"""A chain of layers applied in place gives the tree that the model says, and that an overlay gives.

As the host's root: what is applied may be given to anybody, and dropped from anybody.
"""

import io
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from conformance import model
from conformance.layers import Dir, Fifo, File, Hardlink, Layer, Opaque, Symlink, Whiteout
from conformance.recipes import stacks
from harness import treewalk
from harness.observe import _tree
from layerfs.errors import HostileLayerError
from layerfs.inplace import apply_in_place
from layerfs.tarstream import TarReader

from .extraction import needs_host_root

pytestmark = needs_host_root

examples = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@contextmanager
def opened(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def applied(place, *layers):
    """Apply the layers to an empty directory, one after the other, and return its tree."""
    with tempfile.TemporaryDirectory(dir=place) as root, opened(root) as fd:
        for number, layer in enumerate(layers):
            apply_in_place(TarReader(io.BytesIO(layer.tar())), fd, first=number == 0)
        return _tree(treewalk.tree(root))


BASE = Layer(
    Dir("./", mode=0o711, mtime_ns=5),
    Dir("d", mode=0o750, mtime_ns=1_000_000_007, xattrs={"user.a": b"lower"}),
    File("d/file", b"lower"),
    Dir("d/sub", mtime_ns=2),
    File("d/sub/below"),
    Symlink("link", to="d"),
    File("f", b"f"),
    Hardlink("g", to="f"),
)


@pytest.mark.parametrize(
    "top",
    [
        Layer(Whiteout("d/file")),
        Layer(Whiteout("d")),
        Layer(Whiteout("link")),
        Layer(Whiteout("nothing"), Whiteout("no/such/file")),
        Layer(Opaque("d"), File("d/new")),
        Layer(File("d/new"), Dir("d", mode=0o700), Opaque("d")),
        Layer(Opaque("."), File("only")),
        Layer(Dir("./", mode=0o700), Opaque("."), File("only")),
        Layer(File("d", b"a file now")),
        Layer(Dir("f"), File("f/below")),
        Layer(File("f/below")),
        Layer(Symlink("d", to="nowhere")),
        Layer(Dir("link"), File("link/below")),
        Layer(File("d/sub/deep/er", b"implicit all the way")),
        Layer(Dir("d", mode=0o555, mtime_ns=9, xattrs={"user.b": b"upper"})),
        Layer(Whiteout("d"), Dir("d"), File("d/again")),
        Layer(Whiteout("d/sub"), File("d/sub/again"), Fifo("d/fifo")),
        Layer(Dir("n"), Dir("n/m"), Opaque("n/m"), Whiteout("n/x"), File("n/m/f")),
        Layer(File("g", b"another inode")),
        Layer(Dir("d", mode=0), Dir("d/sub", mode=0), File("d/sub/x")),
    ],
    ids=lambda layer: " ".join(type(e).__name__ + ":" + e.path for e in layer.entries),
)
def test_a_layer_does_to_the_tree_what_it_says(tmp_path, top):
    assert applied(tmp_path, BASE, top) == model.apply(BASE, top)
    assert applied(tmp_path, top) == model.apply(top)
    assert applied(tmp_path, BASE, top, BASE) == model.apply(BASE, top, BASE)


@examples
@given(layers=stacks(explicit=True))
def test_any_chain_is_what_the_model_says(tmp_path, layers):
    assert applied(tmp_path, *layers) == model.apply(*layers)


@examples
@given(layers=stacks(explicit=False))
def test_any_chain_with_missing_directories_is_what_the_model_says(tmp_path, layers):
    assert applied(tmp_path, *layers) == model.apply(*layers)


def test_an_inherited_acl_and_group_do_not_come_from_the_tree_below(tmp_path):
    acl = b"\x02\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + b"\7\0" + b"\xff" * 4 for tag in (1, 4, 0x20)
    )
    base = Layer(Dir("./", mode=0o2755, gid=7, xattrs={"system.posix_acl_default": acl}))
    top = Layer(File("f", mode=0o600), Dir("d", mode=0o700))
    assert applied(tmp_path, base, top) == model.apply(base, top)


def test_deep_trees_need_few_descriptors(tmp_path):
    path = "/".join("d" * 300)
    base, top = Layer(File(f"{path}/low")), Layer(File(f"{path}/top"), Whiteout(f"{path}/low"))
    assert applied(tmp_path, base, top) == model.apply(base, top)


def test_nothing_of_the_work_is_left(tmp_path):
    with opened(tmp_path) as fd:
        apply_in_place(TarReader(io.BytesIO(Layer(File("f")).tar())), fd, first=True)
    assert os.listdir(tmp_path) == ["f"]


def test_what_is_refused_is_refused_as_by_apply(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    root.mkdir()
    hostile = Layer(Symlink("x", to=str(outside)), File("x/f"))
    with opened(root) as fd, pytest.raises(HostileLayerError):
        apply_in_place(TarReader(io.BytesIO(hostile.tar())), fd, first=True)
    assert list(outside.iterdir()) == []


def test_symlinks_of_lower_layers_are_replaced_and_never_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(b"canary")
    base = Layer(Symlink("x", to=str(outside)))
    top = Layer(Dir("x"), File("x/f", b"inside"), Whiteout("x/g"))
    assert applied(tmp_path, base, top) == model.apply(base, top)
    assert [path.name for path in outside.iterdir()] == ["f"]
    assert Path(outside / "f").read_bytes() == b"canary"
