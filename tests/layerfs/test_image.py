import io
import json
import os
import shutil
import subprocess

import pytest

from layerfs.errors import (
    DecompressionError,
    DigestMismatchError,
    HostileLayerError,
    LayerFSError,
    PathError,
    ValidationError,
)
from layerfs.export import architecture
from layerfs.store import LayerFS

from .recipes import EMPTY, GZIP, contents, gz, sha256, tar

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
NAME = "org.opencontainers.image.ref.name"


class Layout:
    """An OCI image layout, put together by hand."""

    def __init__(self, path):
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.entries = []

    def blob(self, media_type, data, **more):
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        (self.path / "blobs/sha256" / sha256(data)[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}

    def image(self, *layers, name=None, **changes):
        """Add an image with a gzip layer for each of ``layers``; return its descriptor."""
        blobs = [self.blob(GZIP, gz(files)) for files in layers]
        diff_ids = changes.pop("diff_ids", [sha256(tar(files)) for files in layers])
        config = {
            "architecture": changes.pop("arch", "riscv64"),
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "unknown": "kept",
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(changes.pop("config_type", CONFIG), config),
            "layers": blobs,
            **changes,
        }
        found = self.blob(MANIFEST, manifest)
        if name:
            found["annotations"] = {NAME: name}
        return found

    def index(self, *entries):
        document = {"schemaVersion": 2, "manifests": list(entries)}
        (self.path / "index.json").write_text(json.dumps(document))
        return self

    def remove(self, digest):
        (self.path / "blobs/sha256" / digest[7:]).unlink()


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "layout")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def store(root):
    with LayerFS.open(root) as opened:
        yield opened


A, B = {"a": b"1"}, {"b": b"2", ".wh.a": b""}


def test_an_image_is_imported_with_its_layers_base_first(store, root, layout):
    entry = layout.image(A, B, name="latest")
    layout.index(entry)
    image = store.import_image(layout.path)
    assert image.manifest == entry["digest"]
    assert image.digests == (sha256(gz(A)), sha256(gz(B)))
    assert image.diff_ids == (sha256(tar(A)), sha256(tar(B)))
    assert image.reference == "latest"
    assert store.images() == [image]
    assert [layer.media_type for layer in store.layers()] == [GZIP, GZIP]
    index = json.loads((root / "index.json").read_bytes())
    assert index["manifests"] == [entry]
    assert store.check() == store.verify() == []


def test_importing_again_changes_nothing(store, root, layout):
    layout.index(layout.image(A, B, name="latest"))
    image = store.import_image(layout.path)
    before = contents(root)
    assert store.import_image(layout.path) == image
    assert contents(root) == before
    assert store.images() == [image]


def test_an_image_without_a_name_is_known_by_its_digest(store, layout):
    entry = layout.image(A)
    layout.index(entry)
    assert store.import_image(layout.path).reference is None
    assert store.import_image(layout.path, entry["digest"]).reference is None
    assert store.remove_image(entry["digest"])


def test_one_of_several_images_is_chosen_by_name_or_digest(store, layout):
    one, two = layout.image(A, name="one"), layout.image(B, name="two")
    layout.index(one, two)
    assert store.import_image(layout.path, "two").manifest == two["digest"]
    assert store.import_image(layout.path, one["digest"]).reference == "one"
    assert [image.reference for image in store.images()] == ["one", "two"] or len(
        store.images()
    ) == 2
    for reference in (None, "three", "sha256:" + "0" * 64):
        with pytest.raises(ValidationError, match="one, two"):
            store.import_image(layout.path, reference)


def test_a_name_moves_with_the_last_import(store, tmp_path):
    for n, files in enumerate((A, B)):
        other = Layout(tmp_path / f"{n}")
        other.index(other.image(files, name="latest"))
        image = store.import_image(other.path)
    assert {(found.manifest == image.manifest, found.reference) for found in store.images()} == {
        (True, "latest"),
        (False, None),
    }


def test_of_several_platforms_this_machines_is_taken(store, layout):
    ours = {"platform": {"os": "linux", "architecture": architecture()}}
    other = {"platform": {"os": "linux", "architecture": "pdp11"}}
    unknown = {"platform": {"os": "unknown", "architecture": "unknown"}}
    wanted = {**layout.image(A, arch=architecture()), **ours}
    entries = [wanted, {**layout.image(B), **other}, {**layout.image(A, B), **unknown}]
    inner = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    nested = layout.blob(INDEX, inner, annotations={NAME: "multi"})
    layout.index(nested)
    image = store.import_image(layout.path)
    assert image.manifest == wanted["digest"]
    assert image.reference in {None, "multi"}
    layout.index({**layout.image(B), **other}, {**layout.image(A, B), **unknown})
    with pytest.raises(ValidationError, match="no image for this machine"):
        store.import_image(layout.path)


def test_indexes_that_never_end_are_refused(store, layout):
    entry = layout.image(A)
    for _ in range(6):
        entry = layout.blob(INDEX, {"schemaVersion": 2, "manifests": [entry]})
    layout.index(entry)
    with pytest.raises(ValidationError, match="nested deeper"):
        store.import_image(layout.path)


@pytest.mark.parametrize("document", ["index", "manifest", "config"])
@pytest.mark.parametrize("data", [b"", b"{}", b'{"a":1,"a":2}', b"[" * 100_000, b"\xff"])
def test_a_hostile_document_is_refused(store, root, layout, document, data):
    entry = layout.image(A)
    layout.index(entry)
    if document == "index":
        (layout.path / "index.json").write_bytes(data)
    elif document == "manifest":
        layout.index(layout.blob(MANIFEST, data))
    else:
        manifest = json.loads((layout.path / "blobs/sha256" / entry["digest"][7:]).read_bytes())
        manifest["config"] = layout.blob(CONFIG, data)
        layout.index(layout.blob(MANIFEST, manifest))
    with pytest.raises(ValidationError):
        store.import_image(layout.path)
    assert contents(root) == EMPTY


def test_a_document_without_end_is_not_read(store, layout):
    layout.index(layout.image(A))
    os.truncate(layout.path / "index.json", 1 << 33)
    with pytest.raises(ValidationError, match="longer than"):
        store.import_image(layout.path)


def break_layer(layout):
    place = layout.path / "blobs/sha256" / sha256(gz(B))[7:]
    place.write_bytes(gz({"other": b""}))


def bad_images():
    yield "missing layer", PathError, lambda at: at.remove(sha256(gz(B)))
    yield "altered layer", DigestMismatchError, break_layer
    yield "missing manifest", PathError, lambda at: at.remove(at.image(A, B)["digest"])
    yield "missing index", PathError, lambda at: (at.path / "index.json").unlink()
    yield "wrong size", DigestMismatchError, lambda at: at.index({**at.image(A, B), "size": 7})
    yield (
        "wrong diffID",
        DigestMismatchError,
        lambda at: at.index(at.image(A, B, diff_ids=[sha256(tar(A)), sha256(b"x")])),
    )
    yield (
        "too few diffIDs",
        ValidationError,
        lambda at: at.index(at.image(A, B, diff_ids=[sha256(tar(A))])),
    )
    yield (
        "artifact",
        ValidationError,
        lambda at: at.index(at.image(A, B, config_type="application/vnd.x.config+json")),
    )
    yield (
        "two media types",
        ValidationError,
        lambda at: at.index(
            {**at.image(A, B), "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
        ),
    )
    yield (
        "unknown layers",
        ValidationError,
        lambda at: at.index(at.image(A, layers=[at.blob("text/plain", b"x")])),
    )
    yield "hostile layer", HostileLayerError, lambda at: at.index(at.image(A, {"../x": b""}))
    yield (
        "truncated layer",
        DecompressionError,
        lambda at: at.index(
            at.image(A, B, layers=[at.blob(GZIP, gz(A)), at.blob(GZIP, gz(B)[:-9])])
        ),
    )
    yield "no layout", ValidationError, lambda at: (at.path / "oci-layout").unlink()
    yield (
        "other version",
        ValidationError,
        lambda at: (at.path / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}'),
    )
    yield (
        "directory for a document",
        LayerFSError,
        lambda at: (
            (at.path / "index.json").unlink(),
            (at.path / "index.json").mkdir(),
        ),
    )
    yield (
        "fifo for a document",
        PathError,
        lambda at: (
            (at.path / "index.json").unlink(),
            os.mkfifo(at.path / "index.json"),
        ),
    )


@pytest.mark.parametrize(("error", "spoil"), [
    pytest.param(*rest, id=name) for name, *rest in bad_images()
])  # fmt: skip
def test_a_bad_image_leaves_nothing_behind(store, root, layout, error, spoil):
    layout.index(layout.image(A, B, name="latest"))
    spoil(layout)
    with pytest.raises(error):
        store.import_image(layout.path)
    assert contents(root) == EMPTY
    assert store.images() == store.layers() == store.check() == []


def test_a_failed_import_keeps_the_layers_that_were_here_before(store, layout):
    kept = store.add_layer(io.BytesIO(gz(A)), GZIP)
    layout.index(layout.image(A, B))
    break_layer(layout)
    with pytest.raises(DigestMismatchError):
        store.import_image(layout.path)
    assert store.layers() == [kept]
    assert store.collect_garbage().removed == (kept.digest,)


@pytest.mark.parametrize("path", ["missing", "file"])
def test_what_is_no_directory_cannot_be_imported(store, tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PathError):
        store.import_image(tmp_path / path)


@pytest.mark.skipif(shutil.which("umoci") is None, reason="needs umoci")
def test_others_read_the_store_itself_as_an_image_layout(store, root, layout):
    layout.index(layout.image(A, B, name="latest"))
    store.import_image(layout.path)
    done = subprocess.run(
        ["umoci", "ls", "--layout", root], capture_output=True, text=True, check=True
    )
    assert done.stdout == "latest\n"
