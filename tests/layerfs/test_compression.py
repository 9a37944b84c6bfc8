from __future__ import annotations

import gc
import gzip
import hashlib
import io
import os
import random
from contextlib import suppress

import pytest

from layerfs import compression, decoders
from layerfs.compression import Compressor, reader
from layerfs.errors import (
    DecompressionError,
    LayerFSError,
    LimitExceededError,
    PermissionDeniedError,
    StorageError,
    ValidationError,
)
from layerfs.limits import Limits

from .blobs import content, helpers, packed, read_all, sha256

KINDS = ["none", "gzip", "zstd"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not helpers()


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_blob_is_read_and_hashed_on_both_sides(kind):
    data = content()
    blob = packed(data, kind)
    with reader(io.BytesIO(blob), kind) as source:
        assert read_all(source) == data
        assert source.finish() == (sha256(blob), len(blob), sha256(data))
        assert source.read() == b""


@pytest.mark.parametrize("kind", KINDS)
def test_finish_drains_what_was_not_read(kind):
    data = content()
    blob = packed(data, kind)
    with reader(io.BytesIO(blob), kind) as source:
        assert source.read(10) == data[:10]
        assert source.finish() == (sha256(blob), len(blob), sha256(data))


def test_a_descriptor_is_read_from_where_it_stands_and_left_open(tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(b"skipped" + gzip.compress(b"data"))
    fd = os.open(path, os.O_RDONLY)
    try:
        os.lseek(fd, 7, os.SEEK_SET)
        with reader(fd, "gzip") as source:
            assert read_all(source) == b"data"
        os.fstat(fd)
    finally:
        os.close(fd)


def test_read_gives_no_more_than_was_asked_for():
    with reader(io.BytesIO(b"0123456789"), "none") as source:
        assert [source.read(4), source.read(4), source.read(4), source.read(4)] == [
            b"0123",
            b"4567",
            b"89",
            b"",
        ]


@pytest.mark.parametrize("kind", KINDS)
def test_sources_may_read_short(kind):
    class Trickle(io.BytesIO):
        def read(self, n=-1):
            return super().read(min(n, 7))

    data = content(10_000)
    with reader(Trickle(packed(data, kind)), kind) as source:
        assert read_all(source) == data


@pytest.mark.parametrize("kind", KINDS)
def test_sha512_is_computed_for_either_side_when_asked(kind):
    data = content(10_000)
    blob = packed(data, kind)
    options = {"algorithm": "sha512", "diff_algorithms": ["sha512"]}
    with reader(io.BytesIO(blob), kind, **options) as source:
        found = source.finish()
        assert found.digest == "sha512:" + hashlib.sha512(blob).hexdigest()
        assert found.diff_id == sha256(data)
        assert source.diff_digest("sha512") == "sha512:" + hashlib.sha512(data).hexdigest()


def test_an_unknown_algorithm_is_refused_before_any_thread():
    with pytest.raises(ValidationError):
        reader(io.BytesIO(b""), "none", algorithm="md5")


def test_an_uncompressed_blob_is_hashed_once(monkeypatch):
    calls = []
    plain = compression.digests.new_hasher
    monkeypatch.setattr(
        compression.digests, "new_hasher", lambda name: calls.append(name) or plain(name)
    )
    with reader(io.BytesIO(b"x"), "none") as source:
        found = source.finish()
    assert calls == ["sha256"]
    assert found.digest == found.diff_id


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.parametrize("blob", [b"", b"not compressed at all" * 100, b"\0" * 1024])
def test_a_blob_of_another_kind_is_refused(kind, blob):
    with (
        reader(io.BytesIO(blob), kind) as source,
        pytest.raises(DecompressionError, match=f"not a {kind} stream"),
    ):
        source.finish()


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_what_came_before_the_damage_is_read_and_the_error_is_repeated(kind):
    data = content()
    with reader(io.BytesIO(packed(data, kind)[:-1]), kind) as source:
        assert source.read(1000) == data[:1000]
        with pytest.raises(DecompressionError):
            read_all(source)
        with pytest.raises(DecompressionError):
            source.read()
        with pytest.raises(DecompressionError):
            source.finish()


@pytest.mark.parametrize("kind", KINDS)
def test_blob_tells_digest_and_size_of_a_damaged_blob(kind):
    """A wrong digest is to be told rather than the damage that it brings."""
    blob = bytearray(packed(content(), kind))
    blob[1_000_000 if kind == "none" else 100_000] ^= 0xFF
    blob += b"garbage"
    with reader(io.BytesIO(blob), kind) as source:
        if kind != "none":
            with pytest.raises(DecompressionError):
                read_all(source)
        assert source.blob() == (sha256(blob), len(blob))


@pytest.mark.parametrize("kind", KINDS)
def test_blob_can_be_asked_in_the_middle_and_ends_the_reading(kind):
    blob = packed(content(20_000_000), kind)
    with reader(io.BytesIO(blob), kind) as source:
        source.read(10)
        assert source.blob() == (sha256(blob), len(blob))
        with pytest.raises(ValueError, match="closed"):
            source.read()


def test_io_errors_of_the_source_reach_the_reader_as_ours():
    class Failing(io.RawIOBase):
        def read(self, _):
            raise OSError(5, "Input/output error")

    with (
        reader(Failing(), "none") as source,
        pytest.raises(StorageError, match="Input/output error"),
    ):
        source.read()


def test_errors_of_the_source_itself_pass_unchanged():
    class Refusing:
        def read(self, _):
            raise PermissionDeniedError("no")

    with reader(Refusing(), "gzip") as source, pytest.raises(PermissionDeniedError):
        source.read()


def test_a_source_that_would_block_is_an_error_not_an_end():
    class Empty:
        def read(self, _):
            return None

    with reader(Empty(), "none") as source, pytest.raises(StorageError, match="not blocking"):
        source.read()


# --- the thread -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_closing_in_the_middle_ends_the_thread(kind):
    source = reader(io.BytesIO(packed(content(40_000_000), kind)), kind)
    source.read(1)
    assert helpers()
    source.close()
    assert not helpers()
    source.close()
    with pytest.raises(ValueError, match="closed"):
        source.read()
    with pytest.raises(ValueError, match="closed"):
        source.finish()


def test_a_forgotten_reader_leaves_no_thread():
    source = reader(io.BytesIO(bytes(40_000_000)), "none")
    source.read(1)
    (thread,) = helpers()
    del source
    gc.collect()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_the_thread_runs_only_a_few_pieces_ahead():
    class Endless:
        pulled = 0

        def read(self, n):
            self.pulled += n
            return bytes(n)

    raw = Endless()
    with reader(raw, "none") as source:
        for _ in range(20):
            source.read()
        ahead = raw.pulled - 20 * compression.CHUNK
        assert ahead <= (compression.DEPTH + 2) * compression.CHUNK


# --- bombs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_more_output_than_allowed_is_refused(kind):
    data = content(3_000_000)
    blob = packed(data, kind)
    with reader(io.BytesIO(blob), kind, limits=Limits(max_output_bytes=len(data))) as source:
        assert read_all(source) == data
    with (
        reader(io.BytesIO(blob), kind, limits=Limits(max_output_bytes=len(data) - 1)) as source,
        pytest.raises(LimitExceededError) as caught,
    ):
        read_all(source)
    assert caught.value.limit == f"max_output_bytes={len(data) - 1}"


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_bomb_is_refused_by_its_ratio(kind):
    limits = Limits(max_ratio=100, ratio_floor_bytes=1 << 20)
    blob = packed(bytes(20_000_000), kind)
    with (
        reader(io.BytesIO(blob), kind, limits=limits) as source,
        pytest.raises(LimitExceededError) as caught,
    ):
        read_all(source)
    assert caught.value.limit == "max_ratio=100"
    with reader(io.BytesIO(packed(content(), kind)), kind, limits=limits) as source:
        source.finish()


def test_a_small_bomb_is_no_bomb():
    blob = io.BytesIO(gzip.compress(bytes(5_000_000)))
    with reader(blob, "gzip", limits=Limits(max_ratio=10)) as source:
        assert len(read_all(source)) == 5_000_000


def test_the_ratio_is_that_of_the_whole_blob_and_not_of_its_members():
    limits = Limits(max_ratio=100, ratio_floor_bytes=1 << 20)
    members = gzip.compress(bytes(500_000)) * 40
    with (
        reader(io.BytesIO(members), "gzip", limits=limits) as source,
        pytest.raises(LimitExceededError, match="expand to more than"),
    ):
        read_all(source)


def test_a_zstd_bomb_never_has_more_than_a_piece_in_memory():
    """An RLE block turns 4 bytes into 128 KiB: RFC 8878 section 3.1.1.2.2."""
    header = b"\x28\xb5\x2f\xfd\x00\x58"  # window of 2 MiB
    block = (((128 << 10) << 3) | 1 << 1).to_bytes(3, "little") + b"\0"

    limits = Limits(max_ratio=10**6, max_output_bytes=50 << 20)

    def assert_small_pieces(source):
        while piece := source.read(1 << 30):
            assert len(piece) <= decoders.PIECE

    with (
        reader(io.BytesIO(header + block * 50_000), "zstd", limits=limits) as source,
        pytest.raises(LimitExceededError),
    ):
        assert_small_pieces(source)


# --- writing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [b"", b"x", content(3_000_000)])
def test_what_was_written_reads_back_with_the_same_digests(kind, data):
    sink = io.BytesIO()
    made = Compressor(sink.write, kind)
    assert made.write(data) == len(data)
    found = made.finish()
    blob = sink.getvalue()
    assert found == (sha256(blob), len(blob), sha256(data))
    with reader(io.BytesIO(blob), kind) as source:
        assert read_all(source) == data
        assert source.finish() == found


@pytest.mark.parametrize("kind", KINDS)
def test_the_blob_does_not_depend_on_how_it_was_written(kind):
    data = content(1_000_000)
    blobs = set()
    for step in (1_000, 65_536, len(data)):
        sink = io.BytesIO()
        made = Compressor(sink.write, kind)
        for at in range(0, len(data), step):
            made.write(data[at : at + step])
        made.finish()
        blobs.add(sink.getvalue())
    assert len(blobs) == 1


def test_gzip_has_no_name_time_or_system():
    sink = io.BytesIO()
    made = Compressor(sink.write, "gzip")
    made.write(b"data")
    made.finish()
    blob = sink.getvalue()
    assert blob[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    assert gzip.decompress(blob) == b"data"


def test_the_blobs_digest_may_be_sha512():
    sink = io.BytesIO()
    made = Compressor(sink.write, "gzip", algorithm="sha512")
    made.write(b"data")
    found = made.finish()
    assert found.digest == "sha512:" + hashlib.sha512(sink.getvalue()).hexdigest()
    assert found.diff_id == sha256(b"data")


@pytest.mark.parametrize("kind", KINDS)
def test_errors_of_the_sink_pass_unchanged(kind):
    def full(_):
        raise OSError(28, "No space left on device")

    made = Compressor(full, kind)
    with pytest.raises(OSError, match="No space"):  # noqa: PT012 - small data may wait for the end
        made.write(random.Random(2).randbytes(10_000_000))
        made.finish()


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_random_bytes_raise_nothing_but_layerfs_errors(kind):
    source = random.Random(3)
    starts = {"gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\xff", "zstd": b"\x28\xb5\x2f\xfd"}
    for _ in range(300):
        blob = starts[kind] + source.randbytes(source.randrange(200))
        limits = Limits(max_output_bytes=10 << 20)
        with reader(io.BytesIO(blob), kind, limits=limits) as opened, suppress(LayerFSError):
            read_all(opened)
