import hashlib
import io
from pathlib import Path

import pytest

from layerfs.errors import (
    DecompressionError,
    DigestMismatchError,
    HostileLayerError,
    PathError,
    StorageError,
    ValidationError,
    WriteFailedError,
)
from layerfs.reading import Expected, Tee, read_layer

from .recipes import GZIP, PLAIN, gz, sha256, tar

FILES = {"a": b"x" * 3_000_000, "d/b": b"1"}


def names(found):
    return lambda reader: found.extend(member.name for member in reader)


def test_a_blob_is_read_hashed_and_consumed_at_once():
    blob, found = gz(FILES), []
    reading = read_layer(io.BytesIO(blob), Expected(GZIP), names(found))
    assert reading == (sha256(blob), len(blob), sha256(tar(FILES)))
    assert found == [b"a", b"d/b"]


def test_without_a_consumer_content_is_only_hashed():
    data = b"no tar at all"
    assert read_layer(io.BytesIO(data), Expected(PLAIN), None).diff_id == sha256(data)


def test_what_a_consumer_leaves_is_read_all_the_same():
    blob = gz(FILES)
    assert read_layer(io.BytesIO(blob), Expected(GZIP), lambda _: None).digest == sha256(blob)


def test_sha512_digests_and_diff_ids_are_verified():
    blob, plain = gz(FILES), tar(FILES)
    digest, diff_id = (f"sha512:{hashlib.sha512(data).hexdigest()}" for data in (blob, plain))
    expected = Expected(GZIP, digest, len(blob), diff_id)
    reading = read_layer(io.BytesIO(blob), expected, None)
    assert reading == (digest, len(blob), sha256(plain))
    with pytest.raises(DigestMismatchError, match="diffID"):
        read_layer(io.BytesIO(blob), Expected(GZIP, diff_id="sha512:" + "0" * 128), None)


@pytest.mark.parametrize(
    ("expected", "why"),
    [
        (Expected(GZIP, "sha256:" + "0" * 64), "digest is"),
        (Expected(GZIP, size=1), "longer"),
        (Expected(GZIP, size=10**9), "its descriptor says 1000000000"),
        (Expected(GZIP, diff_id="sha256:" + "0" * 64), "diffID is"),
    ],
)
def test_each_difference_from_the_descriptor_is_told(expected, why):
    with pytest.raises(DigestMismatchError, match=why):
        read_layer(io.BytesIO(gz(FILES)), expected, names([]))


def damaged_blobs():
    blob = gz(FILES)
    yield "truncated", GZIP, blob[:-10], DecompressionError
    yield "garbage", GZIP, blob[:20] + b"\xff" * 40 + blob[60:], DecompressionError
    yield "trailing", GZIP, blob + b"garbage", DecompressionError
    yield "no tar", PLAIN, b"x" * 1024, ValidationError
    yield "half a tar", PLAIN, tar(FILES)[:700], ValidationError
    yield "hostile", PLAIN, tar({"../x": b""}), HostileLayerError


@pytest.mark.parametrize(("media_type", "blob", "error"), [
    pytest.param(*rest, id=name) for name, *rest in damaged_blobs()
])  # fmt: skip
def test_a_wrong_digest_takes_precedence_over_what_is_wrong_inside(media_type, blob, error):
    def read(*said):
        read_layer(io.BytesIO(blob), Expected(media_type, *said), names([]))

    with pytest.raises(error):
        read()
    with pytest.raises(error):
        read(sha256(blob), len(blob))
    with pytest.raises(DigestMismatchError):
        read("sha256:" + "0" * 64)
    with pytest.raises(DigestMismatchError):
        read(None, len(blob) + 1)
    with pytest.raises(error):
        read(None, None, "sha256:" + "0" * 64)


@pytest.mark.parametrize(
    "expected",
    [
        Expected("text/plain"),
        Expected(PLAIN, "sha256:0"),
        Expected(PLAIN, size=-1),
        Expected(PLAIN, size=True),
        Expected(PLAIN, size="1"),
        Expected(PLAIN, diff_id="md5:0"),
    ],
)
def test_a_malformed_expectation_is_refused(expected):
    with pytest.raises(ValidationError):
        expected.check()


# --- the tee


def through(tee, chunk=1000):
    with tee:
        out = b""
        while data := tee.read(chunk):
            out += data
        return out


def test_what_is_read_is_staged(tmp_path):
    seen = []
    tee = Tee(
        io.BytesIO(b"x" * 2500),
        Expected(PLAIN),
        tmp_path / "s",
        progress=lambda *at: seen.append(at),
    )
    assert through(tee) == b"x" * 2500
    assert tee.is_staged
    assert (tmp_path / "s").read_bytes() == b"x" * 2500
    assert seen == [(1000, None), (2000, None), (2500, None), (2500, None)]


def test_an_empty_blob_is_staged_too(tmp_path):
    tee = Tee(io.BytesIO(), Expected(PLAIN), tmp_path / "s")
    assert through(tee) == b""
    assert (tmp_path / "s").read_bytes() == b""


OLD = bytes(range(256)) * 20


@pytest.mark.parametrize("chunk", [1, 100, 10_000])
@pytest.mark.parametrize(
    "new", [OLD, OLD[:-1], OLD + b"x", b"x" + OLD[1:], OLD[:-1] + b"x", b"", OLD[:100] + b"x"]
)
def test_only_what_differs_from_a_stored_blob_is_staged(tmp_path, new, chunk):
    (tmp_path / "stored").write_bytes(OLD)
    tee = Tee(io.BytesIO(new), Expected(PLAIN), tmp_path / "s")
    tee.compare_with(tmp_path / "stored")
    with tee:
        while tee.read(chunk):
            pass
        assert tee.is_staged == (new != OLD)
        tee.save()
        assert (tmp_path / "s").read_bytes() == new


def test_a_stored_blob_that_is_missing_is_no_obstacle(tmp_path):
    tee = Tee(io.BytesIO(b"new"), Expected(PLAIN), tmp_path / "s")
    tee.compare_with(tmp_path / "nothing")
    through(tee)
    assert (tmp_path / "s").read_bytes() == b"new"


def test_an_equal_blob_can_be_saved_after_the_stored_one_was_removed(tmp_path):
    (tmp_path / "stored").write_bytes(OLD)
    tee = Tee(io.BytesIO(OLD), Expected(PLAIN), tmp_path / "s")
    tee.compare_with(tmp_path / "stored")
    with tee:
        while tee.read(1000):
            pass
        (tmp_path / "stored").unlink()
        tee.save()
    assert (tmp_path / "s").read_bytes() == OLD


def test_a_blob_that_does_not_end_is_left_at_the_expected_size(tmp_path):
    class Endless:
        def read(self, n):
            return b"x" * n

    tee = Tee(Endless(), Expected(PLAIN, size=1_000_000), tmp_path / "s")
    with pytest.raises(DigestMismatchError, match="longer"):
        through(tee, 4096)
    assert (tmp_path / "s").stat().st_size <= 1_000_000


def test_errors_of_the_source_and_of_the_disk_are_told_apart(tmp_path):
    class Broken:
        def read(self, _):
            raise OSError(5, "Input/output error")

    class Waiting:
        def read(self, _):
            return None

    with pytest.raises(StorageError, match="reading layer"):
        through(Tee(Broken(), Expected(PLAIN), tmp_path / "s"))
    with pytest.raises(StorageError, match="blocking"):
        through(Tee(Waiting(), Expected(PLAIN), tmp_path / "s"))
    with pytest.raises(PathError, match="storing"):
        through(Tee(io.BytesIO(b"x"), Expected(PLAIN), tmp_path / "no/where"))
    with pytest.raises(WriteFailedError, match="storing"):
        through(Tee(io.BytesIO(b"x" * 100_000), Expected(PLAIN), Path("/dev/full")), 10_000)
