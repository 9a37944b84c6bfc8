import os

import pytest

from layerfs import syscalls
from layerfs.errors import LayerInUseError, LayerNotFoundError, StorageError, ValidationError
from layerfs.store import LayerFS

from .isolation import isolated, needs_root
from .recipes import EMPTY, contents, sha256, stream, tar

UNKNOWN = "sha256:" + "0" * 64


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def store(root):
    with LayerFS.open(root) as opened:
        yield opened


def add(store, name, *dependencies):
    return store.add_layer(stream({name: b""}), dependencies=dependencies).digest


def test_a_removed_layer_is_gone_and_removing_it_again_is_no_error(store, root):
    digest = add(store, "a")
    assert store.remove_layer(digest) is True
    assert store.remove_layer(digest) is False
    assert store.layers() == []
    assert contents(root) == EMPTY
    with pytest.raises(LayerNotFoundError):
        store.get_layer(digest)


def test_the_unknown_is_gone_already_and_the_malformed_is_an_error(store):
    assert store.remove_layer(UNKNOWN) is False
    for malformed in ("", "sha256:", "sha256:" + "0" * 63, UNKNOWN.upper(), "../../etc", None, 7):
        with pytest.raises(ValidationError):
            store.remove_layer(malformed)


@pytest.mark.parametrize("missing", ["blobs/sha256", "layers", "both"])
def test_a_layer_whose_files_have_gone_is_removed(store, root, missing):
    digest = add(store, "a")
    if missing != "layers":
        (root / "blobs/sha256" / digest[7:]).unlink()
    if missing != "blobs/sha256":
        os.rename(root / "layers" / digest[7:], root / "elsewhere")
    assert store.remove_layer(digest) is True
    assert store.check() == []


@isolated
def test_a_mounted_layer_is_held_by_its_mount(root, tmp_path):
    with LayerFS.open(root) as store:
        digest = add(store, "a")
        store.mount_layer(digest, tmp_path / "t")
        with pytest.raises(LayerInUseError, match="unmount it first") as refusal:
            store.remove_layer(digest)
        assert str(tmp_path / "t") in refusal.value.holder
        assert refusal.value.digest == digest
        assert store.check() == []
        store.unmount(tmp_path / "t")
        assert store.remove_layer(digest)


def test_a_leased_layer_is_held_until_the_lease_is_released(store):
    digest = add(store, "a")
    store.lease("mine", [digest])
    with pytest.raises(LayerInUseError) as refusal:
        store.remove_layer(digest)
    assert refusal.value.holder == "lease 'mine'"
    store.release("mine")
    store.release("mine")
    assert store.remove_layer(digest)


def test_a_dependency_is_held_by_its_dependent(store):
    base = add(store, "a")
    top = add(store, "b", base)
    with pytest.raises(LayerInUseError) as refusal:
        store.remove_layer(base)
    assert refusal.value.holder == f"layer {top}"
    assert store.remove_layer(top)
    assert store.remove_layer(base)


def test_a_layer_that_needs_itself_can_be_removed(store):
    own = sha256(tar({"a": b""}))
    assert add(store, "a", own) == own
    assert store.remove_layer(own)


def test_a_layer_of_an_image_is_held_by_it(store, tmp_path):
    digest = add(store, "a")
    store.export_image(tmp_path / "out", [digest])
    image = store.import_image(tmp_path / "out")
    with pytest.raises(LayerInUseError) as refusal:
        store.remove_layer(digest)
    assert refusal.value.holder == f"image {image.manifest}"
    assert store.remove_image("latest")
    assert store.remove_layer(digest)


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb", "a\0b", None, 7])
def test_a_lease_has_a_printable_name(store, name):
    for call in (lambda: store.lease(name, []), lambda: store.release(name)):
        with pytest.raises(ValidationError):
            call()


def test_the_unknown_cannot_be_leased(store):
    digest = add(store, "a")
    with pytest.raises(LayerNotFoundError):
        store.lease("mine", [digest, UNKNOWN])
    assert store.remove_layer(digest)


@needs_root
@isolated
def test_files_that_cannot_be_deleted_are_told_and_deleted_by_a_later_open(root):
    """A mount inside a tree keeps it; the layer is absent all the same."""
    store = LayerFS.open(root)
    digest = store.add_layer(stream({"d": None})).digest
    inside = root / "layers" / digest[7:] / "diff/d"
    syscalls.mount("none", inside, "tmpfs")
    with pytest.raises(StorageError):
        store.remove_layer(digest)
    assert store.layers() == []
    store.close()
    with LayerFS.open(root) as store:
        assert [problem.kind for problem in store.check()] == ["dead-operation"]
    (inside,) = (root / "staging").rglob("d")
    syscalls.umount2(inside)
    with LayerFS.open(root) as store:
        assert store.check() == []
    assert contents(root) == EMPTY


# --- images


def test_a_name_is_taken_from_an_image_and_with_the_last_one_the_image(store, root, tmp_path):
    digest = add(store, "a")
    for name in ("one", "two"):
        store.export_image(tmp_path / name, [digest], reference=name)
        image = store.import_image(tmp_path / name)
    assert {found.reference for found in store.images()} == {"one", "two"}
    assert store.remove_image("one") is True
    assert store.remove_image("one") is False
    assert [found.reference for found in store.images()] == ["two"]
    assert store.remove_image("two") is True
    assert store.images() == []
    assert len(contents(root)["blobs/sha256"]) == 1, "manifest and configuration are gone"
    store.import_image(tmp_path / "one")
    store.import_image(tmp_path / "two")
    assert store.remove_image(image.manifest) is True
    assert store.images() == []
    assert store.check() == []
