import io
import os

import pytest

from layerfs.errors import LayerNotFoundError, LimitExceededError, PathError, ValidationError
from layerfs.limits import Limits
from layerfs.reports import Damage
from layerfs.store import LayerFS

from .recipes import GZIP, gz, stream

FILES = {"d/a": b"1", "b": b"x" * 5000, "link": "b"}


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def store(root):
    with LayerFS.open(root) as opened:
        yield opened


@pytest.fixture
def layer(store):
    return store.add_layer(io.BytesIO(gz(FILES)), GZIP)


@pytest.fixture
def tree(root, layer):
    return root / "layers" / layer.diff_id[7:] / "diff"


@pytest.fixture
def blob(root, layer):
    return root / "blobs/sha256" / layer.digest[7:]


def test_whole_layers_have_no_damage(store, layer):
    assert store.verify() == store.verify([layer.digest]) == store.verify([]) == []


def test_a_damaged_file_is_named(store, layer, tree):
    (tree / "d/a").write_bytes(b"2")
    assert {(found.digest, found.path) for found in store.verify()} == {(layer.digest, "d/a")}


def test_a_missing_and_a_strange_file_are_named(store, tree):
    (tree / "b").unlink()
    (tree / "new").write_text("")
    assert {found.path for found in store.verify()} >= {"b", "new"}


def test_a_name_that_is_not_utf8_comes_as_the_host_writes_it(store, tree):
    (tree / os.fsdecode(b"\xff")).write_text("")
    assert os.fsdecode(b"\xff") in {found.path for found in store.verify()}


def test_a_missing_tree_is_named_by_its_root(store, layer, tree, root):
    os.rename(tree.parent, root / "gone")
    (found,) = store.verify()
    assert (found.digest, found.path) == (layer.digest, ".")


@pytest.mark.parametrize("damage", ["gone", "shorter", "longer", "altered", "empty"])
def test_a_damaged_blob_has_no_path(store, layer, blob, damage):
    data = blob.read_bytes()
    blob.unlink()
    if damage != "gone":
        altered = {
            "shorter": data[:-3],
            "longer": data + b"x",
            "altered": data[:30] + b"\xff" + data[31:],
            "empty": b"",
        }
        blob.write_bytes(altered[damage])
    (found,) = store.verify()
    assert isinstance(found, Damage)
    assert (found.digest, found.path) == (layer.digest, None)
    assert found.problem


def test_only_the_layers_asked_for_are_read(store, layer, tree):
    other = store.add_layer(stream({"other": b""}))
    (tree / "b").write_bytes(b"")
    assert store.verify([other.digest]) == []
    assert {found.digest for found in store.verify([other.digest, layer.digest])} == {layer.digest}


def test_the_unknown_and_the_malformed_cannot_be_verified(store):
    with pytest.raises(LayerNotFoundError):
        store.verify(["sha256:" + "0" * 64])
    with pytest.raises(ValidationError):
        store.verify(["x"])


def test_a_layer_beyond_the_limits_in_force_is_not_called_damaged(root, store, layer):
    with LayerFS.open(root, limits=Limits(max_members=1)) as narrow:
        with pytest.raises(LimitExceededError):
            narrow.verify()
        failed = narrow.repair([layer.digest]).failed
        assert [(one.digest, one.code) for one in failed] == [(layer.digest, "limit-exceeded")]
    assert store.verify() == []


def test_each_layer_of_a_shared_tree_is_told(store, layer, tree):
    other = store.add_layer(stream(FILES))
    (tree / "b").unlink()
    assert {found.digest for found in store.verify()} == {layer.digest, other.digest}


@pytest.fixture
def disturbed(store, monkeypatch):
    """Have something happen before the tree is looked at, and the look fail."""

    def disturb(times, happens=lambda: None):
        backend = type(store._parts.backend)
        look, left = backend.damage, [times]

        def fail(self, diff_id, reader):
            if left[0]:
                left[0] -= 1
                happens()
                raise PathError("reading 'f': No such file or directory", path="f")
            return look(self, diff_id, reader)

        monkeypatch.setattr(backend, "damage", fail)

    return disturb


def test_a_layer_that_is_removed_meanwhile_has_no_damage(root, store, layer, disturbed):
    def remove():
        with LayerFS.open(root) as other:
            other.remove_layer(layer.digest)

    disturbed(1, remove)
    assert store.verify([layer.digest]) == []


@pytest.mark.usefixtures("layer")
def test_a_layer_that_is_removed_and_added_meanwhile_is_looked_at_again(store, disturbed):
    disturbed(2)
    assert store.verify() == []


@pytest.mark.usefixtures("layer")
def test_what_cannot_be_read_again_and_again_is_an_error(store, disturbed):
    disturbed(3)
    with pytest.raises(PathError):
        store.verify()
