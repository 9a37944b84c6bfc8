"""Image layouts as the suite writes and reads them, against umoci and against damage."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from conformance import images
from conformance.images import Image, NotALayoutError, blob_path, dumped, layout
from conformance.layers import Dir, File, Layer

A = Layer(Dir("d"), File("d/a"))
B = Layer(File("b"), compression="gzip")
C = Layer(File("c"), compression="zstd")
IMAGE = Image((A, B, C))


def test_what_is_written_is_read_back():
    found = images.read(layout(IMAGE).__getitem__)

    assert found.digest == IMAGE.digest
    assert found.digests == [A.digest, B.digest, C.digest]
    assert found.diff_ids == [A.diff_id, B.diff_id, C.diff_id]
    assert list(found.tars()) == [A.tar(), B.tar(), C.tar()]


def test_images_are_told_apart_by_their_reference():
    files = layout(Image((A,), reference="one"), Image((B,), reference="two"))

    assert images.read(files.__getitem__, "two").digests == [B.digest]
    with pytest.raises(NotALayoutError, match="2 manifests"):
        images.read(files.__getitem__)


@pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed")
def test_umoci_reads_what_is_written(tmp_path):
    for name, data in layout(Image((A, B))).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    listed = subprocess.run(
        ["umoci", "stat", "--image", f"{tmp_path}:latest", "--json"],
        capture_output=True,
        check=True,
    )
    history = json.loads(listed.stdout)["history"]
    assert [entry["layer"]["digest"] for entry in history] == [A.digest, B.digest]


SPOILT = {
    "another version of the layout": {"oci-layout": b'{"imageLayoutVersion": "2.0.0"}'},
    "another version of the index": {"index.json": b'{"schemaVersion": 1, "manifests": []}'},
    "an empty index": {"index.json": b'{"schemaVersion": 2, "manifests": []}'},
    "a changed layer": {blob_path(B.digest): C.blob()},
    "a changed manifest": {blob_path(IMAGE.digest): IMAGE.manifest_bytes() + b" "},
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_no_layout_is_told(what):
    files = layout(IMAGE) | SPOILT[what]

    with pytest.raises(NotALayoutError):
        images.read(files.__getitem__)


def test_a_size_that_is_wrong_is_told():
    entry = IMAGE.described() | {"size": 1}
    files = layout(IMAGE) | {"index.json": dumped({"schemaVersion": 2, "manifests": [entry]})}

    with pytest.raises(NotALayoutError, match="bytes, not 1"):
        images.read(files.__getitem__)


def test_a_diff_id_that_is_wrong_is_told():
    rootfs = {"type": "layers", "diff_ids": [A.diff_id, A.diff_id]}
    files = layout(Image((A, B), config={"rootfs": rootfs}))

    with pytest.raises(NotALayoutError, match="diffIDs"):
        images.read(files.__getitem__)
