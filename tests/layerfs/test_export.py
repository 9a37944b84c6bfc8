import io
import json
import os
import shutil
import subprocess

import pytest

from layerfs.errors import LayerNotFoundError, PathError, StorageError, ValidationError
from layerfs.export import architecture
from layerfs.store import LayerFS

from .recipes import GZIP, contents, gz, sha256, stream, tar

A, B = {"a": b"1", "d/x": b"2"}, {"b": b"2", ".wh.a": b""}


@pytest.fixture
def store(tmp_path):
    with LayerFS.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def digests(store):
    return [
        store.add_layer(stream(A), "application/vnd.docker.image.rootfs.diff.tar").digest,
        store.add_layer(io.BytesIO(gz(B)), GZIP).digest,
    ]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def document(path, digest):
    data = (path / "blobs/sha256" / digest[7:]).read_bytes()
    assert sha256(data) == digest
    return json.loads(data)


def snapshot(path):
    return {
        str(found.relative_to(path)): found.read_bytes()
        for found in path.rglob("*")
        if found.is_file()
    }


def test_layers_become_an_image(store, digests, out):
    manifest = store.export_image(out, digests)
    index = json.loads((out / "index.json").read_bytes())
    (entry,) = index["manifests"]
    assert entry["digest"] == manifest
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "latest"}
    found = document(out, manifest)
    assert [layer["digest"] for layer in found["layers"]] == digests
    assert [layer["mediaType"] for layer in found["layers"]] == [
        "application/vnd.oci.image.layer.v1.tar",
        GZIP,
    ]
    config = document(out, found["config"]["digest"])
    assert config == {
        "architecture": architecture(),
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [sha256(tar(A)), sha256(tar(B))]},
    }
    assert set(snapshot(out)) == {"oci-layout", "index.json"} | {
        f"blobs/sha256/{digest[7:]}" for digest in (manifest, found["config"]["digest"], *digests)
    }


def test_the_same_layers_give_the_same_bytes(store, digests, tmp_path):
    assert store.export_image(tmp_path / "1", digests) == store.export_image(
        tmp_path / "2", digests
    )
    assert snapshot(tmp_path / "1") == snapshot(tmp_path / "2")


def test_a_layer_may_occur_twice(store, digests, out):
    manifest = store.export_image(out, [*digests, digests[0]])
    assert len(document(out, manifest)["layers"]) == 3


def test_export_then_import_is_the_identity(store, digests, tmp_path):
    store.export_image(tmp_path / "1", digests, reference="a/b:c-1.0")
    with LayerFS.open(tmp_path / "other") as other:
        image = other.import_image(tmp_path / "1")
        assert image.reference == "a/b:c-1.0"
        for name in (image.manifest, "a/b:c-1.0"):
            shutil.rmtree(tmp_path / "2", ignore_errors=True)
            other.export_image(tmp_path / "2", image=name, reference="a/b:c-1.0")
            assert snapshot(tmp_path / "1") == snapshot(tmp_path / "2")
        assert [layer.diff_id for layer in other.layers()] == [
            layer.diff_id for layer in store.layers()
        ]


def test_an_images_configuration_goes_with_other_layers(store, digests, tmp_path, out):
    store.export_image(tmp_path / "base", digests)
    base = store.import_image(tmp_path / "base")
    config_digest = store._parts.meta.roots.image(base.manifest).config
    config = document(tmp_path / "base", config_digest)
    config |= {"config": {"Cmd": ["x"]}, "architecture": "riscv64",
               "created": "1970-01-01T00:00:00Z",
               "history": [{"created_by": "a"}, {"created_by": "b"},
                           {"created_by": "c", "empty_layer": True}]}  # fmt: skip
    data = json.dumps(config).encode()
    manifest = document(tmp_path / "base", base.manifest)
    manifest["config"] |= {"digest": sha256(data), "size": len(data)}
    blobs = tmp_path / "base/blobs/sha256"
    (blobs / sha256(data)[7:]).write_bytes(data)
    data = json.dumps(manifest).encode()
    (blobs / sha256(data)[7:]).write_bytes(data)
    index = json.loads((tmp_path / "base/index.json").read_bytes())
    index["manifests"][0] |= {"digest": sha256(data), "size": len(data)}
    (tmp_path / "base/index.json").write_text(json.dumps(index))
    image = store.import_image(tmp_path / "base")
    top = store.add_layer(stream({"top": b""})).digest

    found = document(out, store.export_image(out, [*digests, top], image=image.manifest))
    new = document(out, found["config"]["digest"])
    assert new["config"] == {"Cmd": ["x"]}
    assert new["architecture"] == "riscv64"
    assert len(new["rootfs"]["diff_ids"]) == 3
    assert [one["created_by"] for one in new["history"]] == ["a", "b", "c", "layerfs"]
    shutil.rmtree(out)
    found = document(out, store.export_image(out, [top], image=image.manifest))
    assert "history" not in document(out, found["config"]["digest"])
    with LayerFS.open(tmp_path / "other") as other:
        assert other.import_image(out).digests == (top,)


@pytest.mark.parametrize("tool", ["skopeo", "umoci"])
def test_others_read_what_is_exported(store, digests, out, tool):
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}")
    store.export_image(out, digests, reference="v1")
    argv = {
        "skopeo": ["skopeo", "inspect", "--format", "{{.Architecture}}", f"oci:{out}:v1"],
        "umoci": ["umoci", "ls", "--layout", out],
    }[tool]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == {"skopeo": f"{architecture()}\n", "umoci": "v1\n"}[tool]


# --- refusals


def test_an_empty_directory_is_filled(store, digests, out):
    out.mkdir()
    store.export_image(out, digests)
    assert (out / "index.json").exists()


def test_a_place_that_is_taken_is_left_alone(store, digests, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/precious").write_text("x")
    inside = [store.root, store.root / "out", store.root / "run"]
    for place in (tmp_path / "file", tmp_path / "full", tmp_path / "no/where", *inside):
        with pytest.raises(PathError):
            store.export_image(place, digests)
    assert os.listdir(tmp_path / "full") == ["precious"]
    assert store.check() == []


def test_nothing_and_the_unknown_cannot_be_exported(store, digests, out):
    with pytest.raises(ValidationError):
        store.export_image(out)
    with pytest.raises(ValidationError):
        store.export_image(out, [])
    with pytest.raises(LayerNotFoundError):
        store.export_image(out, ["sha256:" + "0" * 64])
    with pytest.raises(LayerNotFoundError):
        store.export_image(out, image="nothing")
    for reference in ("", "a b", "-a", "a//b", "a\n", "é", None, 7):
        with pytest.raises(ValidationError):
            store.export_image(out, digests, reference=reference)
    assert not out.exists()


@pytest.mark.parametrize("made", [True, False])
def test_damage_does_not_travel_and_leaves_nothing(store, digests, out, made):
    if made:
        out.mkdir()
    blob = store.root / "blobs/sha256" / digests[1][7:]
    blob.write_bytes(blob.read_bytes()[:-1] + b"\xff")
    with pytest.raises(StorageError, match="damaged") as refusal:
        store.export_image(out, digests)
    assert refusal.value.digest == digests[1]
    assert out.exists() == made
    assert not made or os.listdir(out) == []
    assert contents(store.root)["staging"] == []
