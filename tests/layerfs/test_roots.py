import pytest

from layerfs.catalog import Catalog
from layerfs.roots import ImageRow


@pytest.fixture
def meta(tmp_path):
    opened = Catalog.open(tmp_path / "layerfs.db")
    yield opened
    opened.close()


def image(manifest, *references, layers=("a", "b", "a")):
    return ImageRow(manifest, "type", 10, f"config-{manifest}", layers, references)


def test_images_come_back_by_digest_and_by_each_name(meta):
    with meta.transaction():
        meta.roots.put_image(image("m1", "x", "y"))
        meta.roots.put_image(image("m1", "y"))
        meta.roots.put_image(image("m2"))
    one = image("m1", "x", "y")
    assert [meta.roots.image(name) for name in ("m1", "x", "y", "z")] == [one, one, one, None]
    assert meta.roots.images() == [one, image("m2")]
    assert meta.roots.images_of("a") == ("m1", "m2")
    assert meta.roots.layers_of_images() == {"a", "b"}


def test_a_name_moves_to_the_image_that_is_named_last(meta):
    with meta.transaction():
        meta.roots.put_image(image("m1", "latest"))
        meta.roots.put_image(image("m2", "latest"))
    assert meta.roots.image("latest").manifest == "m2"
    assert meta.roots.image("m1").references == ()


def test_an_image_goes_with_its_names(meta):
    with meta.transaction():
        meta.roots.put_image(image("m1", "x"))
        assert meta.roots.delete_name("nothing") == 0
        meta.roots.delete_image("m1")
    assert meta.roots.image("x") is None
    assert meta.roots.layers_of_images() == set()


def test_blobs_of_images_are_used(meta):
    with meta.transaction():
        meta.roots.put_image(image("m1"))
    used = [meta.roots.uses_blob(name) for name in ("m1", "config-m1", "a", "m2")]
    assert used == [True, True, False, False]


def test_a_lease_grows_and_goes(meta):
    roots = meta.roots
    with meta.transaction():
        roots.put_lease("mine", ["a"])
        roots.put_lease("mine", ["b", "a"])
        roots.put_lease("operation 1", ["c"], operation="1")
    assert roots.leased() == {"a", "b", "c"}
    assert roots.leased(operations_only=True) == {"c"}
    assert roots.leases_of("a") == ("mine",)
    assert roots.operation_leases() == [("operation 1", "1")]
    with meta.transaction():
        roots.delete_user_lease("mine")
        roots.delete_user_lease("operation 1")
        roots.delete_user_lease("unknown")
    assert roots.leased() == {"c"}
    with meta.transaction():
        roots.delete_lease("operation 1")
    assert roots.leased() == set()
