import io

import pytest

from layerfs import adopting
from layerfs.store import LayerFS

from .recipes import GZIP, gz, sha256, stream, tar


@pytest.fixture
def store(tmp_path):
    with LayerFS.open(tmp_path / "store") as opened:
        yield opened


def put(store, data):
    store._parts.blobs.path(sha256(data)).write_bytes(data)
    return sha256(data)


def test_the_compression_of_a_layer_is_told_by_its_first_bytes(store):
    digest = put(store, gz({"a": b""}))
    assert "adopted layer" in adopting.adopt_or_remove(store._parts, digest)
    (layer,) = store.layers()
    assert (layer.digest, layer.media_type) == (digest, GZIP)


def test_what_is_no_layer_is_removed_with_the_reason(store):
    digest = put(store, b"some text")
    assert "neither layer nor image" in adopting.adopt_or_remove(store._parts, digest)
    assert store.check() == []


def test_an_image_is_found_by_its_manifest_and_named_by_the_index(store, tmp_path):
    layers = [store.add_layer(io.BytesIO(gz({"a": b""})), GZIP).digest]
    store.export_image(tmp_path / "out", layers, reference="v1")
    image = store.import_image(tmp_path / "out")
    orphans = [image.manifest, *layers, put(store, b"{}"), put(store, tar({"x": b""}))]
    ((documents, names),) = adopting.images(store._parts, orphans)
    assert documents.descriptor.digest == image.manifest
    assert names == ("v1",)
    assert documents.digests == image.digests


def test_only_what_is_an_orphan_is_looked_at(store, tmp_path):
    store.export_image(tmp_path / "out", [store.add_layer(stream({"a": b""})).digest])
    store.import_image(tmp_path / "out")
    assert adopting.images(store._parts, []) == []
