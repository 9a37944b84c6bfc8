import json
import os

import pytest

from layerfs.blobstore import BlobStore
from layerfs.errors import PathError, StorageError, ValidationError

from .recipes import sha256


@pytest.fixture
def blobs(tmp_path):
    for name in ("blobs/sha256", "blobs/sha512", "trash"):
        (tmp_path / name).mkdir(parents=True)
    store = BlobStore(tmp_path)
    store.create()
    return store


def put(blobs, data):
    staged = blobs.root / "staged"
    staged.write_bytes(data)
    blobs.publish(staged, sha256(data))
    return sha256(data)


def test_the_directory_is_an_image_layout(blobs):
    assert json.loads((blobs.root / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads((blobs.root / "index.json").read_bytes()) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [],
    }
    assert blobs.layout_is_whole()
    assert blobs.index_is([])


def test_to_create_again_changes_nothing(blobs):
    blobs.write_index([{"digest": "x"}])
    blobs.create()
    assert blobs.index_is([{"digest": "x"}])
    assert not blobs.index_is([])


def test_a_blob_is_published_read_and_discarded(blobs):
    digest = put(blobs, b"content")
    assert blobs.path(digest) == blobs.root / "blobs/sha256" / digest[7:]
    assert blobs.size(digest) == 7
    assert blobs.usage(blobs.path(digest)) == os.stat(blobs.path(digest)).st_blocks * 512
    with blobs.open(digest) as raw:
        assert raw.read() == b"content"
    assert list(blobs.enumerate()) == [digest]
    blobs.discard(digest, blobs.root / "trash")
    blobs.discard(digest, blobs.root / "trash")
    assert blobs.size(digest) is None
    assert list(blobs.enumerate()) == []


def test_a_missing_blob_is_named_with_the_remedy(blobs):
    with pytest.raises(StorageError, match="missing; add the layer again") as refusal:
        blobs.open(sha256(b""))
    assert refusal.value.digest == sha256(b"")


def test_a_malformed_digest_is_no_path(blobs):
    for digest in ("sha256:../../../etc/passwd", "md5:" + "0" * 32, "sha256:" + "A" * 64):
        with pytest.raises(ValidationError):
            blobs.path(digest)


def test_what_is_no_regular_file_is_no_blob_and_is_not_waited_for(blobs):
    for make in (os.mkdir, os.mkfifo):
        path = blobs.path(sha256(make.__name__.encode()))
        make(path)
        with pytest.raises((StorageError, PathError)):
            blobs.open(sha256(make.__name__.encode()))
        assert blobs.size(sha256(make.__name__.encode())) is None


def test_other_names_among_the_blobs_are_passed_over(blobs):
    (blobs.root / "blobs/sha256/README").write_text("")
    (blobs.root / "blobs/sha512").rmdir()
    assert list(blobs.enumerate()) == []


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[" * 100_000, None])
def test_a_damaged_index_or_layout_is_told_and_can_be_written_again(blobs, data):
    for name in ("index.json", "oci-layout"):
        path = blobs.root / name
        path.unlink() if data is None else path.write_bytes(data)
    assert not blobs.index_is([])
    assert not blobs.layout_is_whole()
    blobs.write_index([])
    blobs.write_layout()
    assert blobs.index_is([])
    assert blobs.layout_is_whole()
    assert not [name for name in os.listdir(blobs.root) if name.endswith(".new")]
