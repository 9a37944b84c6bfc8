from __future__ import annotations

import gzip
import io
import zlib
from base64 import b64decode
from contextlib import suppress

import pytest
import zstandard

from layerfs import decoders
from layerfs.compression import reader
from layerfs.errors import DecompressionError, UnsupportedError

from .blobs import content, read_all


@pytest.fixture(params=["isal", "zlib"])
def gzip_engine(request, monkeypatch):
    """Run with each of the two gzip decompressors."""
    if request.param == "isal":
        pytest.importorskip("isal.igzip_lib", reason="isal is not built for this machine")
    else:
        monkeypatch.setattr(decoders, "gzip_member", lambda: (decoders._ZlibMember, zlib.error))
    return request.param


# --- gzip -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("gzip_engine")
def test_several_gzip_members_are_one_stream():
    parts = [content(200_000), b"", b"small", content(100_000)]
    with reader(io.BytesIO(b"".join(map(gzip.compress, parts))), "gzip") as source:
        assert read_all(source) == b"".join(parts)


@pytest.mark.usefixtures("gzip_engine")
def test_tens_of_thousands_of_tiny_members_cost_no_quadratic_time():
    """A member's rest is copied: with a window of 1 MiB this would move 60 GB."""
    blob = gzip.compress(b"x") * 60_000
    with reader(io.BytesIO(blob), "gzip") as source:
        assert read_all(source) == b"x" * 60_000


@pytest.mark.usefixtures("gzip_engine")
def test_gzip_headers_with_all_optional_fields_are_read():
    flags = 0x04 | 0x08 | 0x10  # FEXTRA, FNAME, FCOMMENT: RFC 1952 section 2.3
    plain = gzip.compress(b"data", mtime=0)
    header = plain[:3] + bytes([flags]) + plain[4:10] + b"\x03\0ext" + b"name\0" + b"comment\0"
    with reader(io.BytesIO(header + plain[10:]), "gzip") as source:
        assert read_all(source) == b"data"


@pytest.mark.usefixtures("gzip_engine")
@pytest.mark.parametrize("flag", [0x20, 0x40, 0x80])
@pytest.mark.parametrize("before", [b"", gzip.compress(b"whole")], ids=["first", "second"])
def test_reserved_gzip_flags_are_refused(flag, before):
    """RFC 1952, 2.3.1.2. Found by fuzzing: isal reads past them, zlib refuses them."""
    blob = bytearray(gzip.compress(b"data", mtime=0))
    blob[3] |= flag
    for size in (1, 1 << 20):
        whole = before + bytes(blob)
        left = iter([whole[at : at + size] for at in range(0, len(whole), size)])
        with pytest.raises(DecompressionError):
            list(decoders.decode("gzip", lambda left=left: next(left, b"")))


@pytest.mark.usefixtures("gzip_engine")
@pytest.mark.parametrize("garbage", [b"garbage", b"\0", b"\0" * 512, b"\x1f", b"\x1f\x8bjunk"])
def test_garbage_behind_gzip_is_refused(garbage):
    with (
        reader(io.BytesIO(gzip.compress(b"data") + garbage), "gzip") as source,
        pytest.raises(DecompressionError),
    ):
        read_all(source)


@pytest.mark.usefixtures("gzip_engine")
def test_gzip_cut_short_anywhere_is_refused():
    blob = gzip.compress(content(2_000)) + gzip.compress(b"second")
    first = len(gzip.compress(content(2_000)))
    for length in range(len(blob)):
        if length == first:
            continue  # a whole stream of one member
        with (
            reader(io.BytesIO(blob[:length]), "gzip") as source,
            pytest.raises(DecompressionError),
        ):
            read_all(source)


@pytest.mark.usefixtures("gzip_engine")
def test_every_damaged_bit_of_gzip_is_refused_or_harmless():
    data = b"some layer content, compressed"
    blob = gzip.compress(data, mtime=0)
    for at in range(len(blob)):
        for bit in range(8):
            damaged = bytearray(blob)
            damaged[at] ^= 1 << bit
            with reader(io.BytesIO(damaged), "gzip") as source, suppress(DecompressionError):
                assert read_all(source) == data


# --- zstd -----------------------------------------------------------------------------------------


def skippable(payload: bytes) -> bytes:
    return b"\x53\x2a\x4d\x18" + len(payload).to_bytes(4, "little") + payload


def test_several_zstd_frames_are_one_stream_and_skippable_ones_are_skipped():
    parts = [content(300_000), b"", b"small"]
    blob = skippable(b"chunked toc") + b"".join(map(zstandard.compress, parts)) + skippable(b"")
    with reader(io.BytesIO(blob), "zstd") as source:
        assert read_all(source) == b"".join(parts)


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("sized", [False, True])
def test_zstd_cut_short_anywhere_is_refused(checksum, sized):
    made = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=sized)
    first, second = made.compress(content(1_500)), made.compress(b"aaaaaaaaaaaaaaaaaaaaaaaa" * 40)
    blob = first + second
    for length in range(len(blob)):
        if length == len(first):
            continue
        with (
            reader(io.BytesIO(blob[:length]), "zstd") as source,
            pytest.raises(DecompressionError, match=r"cut short|empty"),
        ):
            read_all(source)


@pytest.mark.parametrize("garbage", [b"garbage", b"\0", b"\0" * 512, b"\x28\xb5\x2f", b"\x28"])
def test_garbage_behind_zstd_is_refused(garbage):
    with (
        reader(io.BytesIO(zstandard.compress(b"data") + garbage), "zstd") as source,
        pytest.raises(DecompressionError, match=r"garbage|cut short|Unknown frame"),
    ):
        read_all(source)


def test_every_damaged_bit_of_zstd_is_refused_or_harmless():
    data = b"some layer content, compressed " * 8
    blob = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    for at in range(len(blob)):
        for bit in range(8):
            damaged = bytearray(blob)
            damaged[at] ^= 1 << bit
            with reader(io.BytesIO(damaged), "zstd") as source, suppress(DecompressionError):
                # A frame that has become a skippable one is one without content.
                assert read_all(source) in {data, b""}


def test_without_zstandard_zstd_is_unsupported(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    with reader(io.BytesIO(b""), "zstd") as source, pytest.raises(UnsupportedError):
        source.read()


@pytest.mark.parametrize("cut", [1, 7, 1 << 20])
def test_a_zstd_frame_that_holds_less_than_it_says_is_refused_however_it_is_cut(cut):
    # One empty raw block, the last (RFC 8878, 3.1.1.2): libzstd notices only when it has the frame
    # in one piece.
    liar = b"\x28\xb5\x2f\xfd\x20\x02\x01\x00\x00"
    blob = zstandard.compress(content(1000)) + liar
    pieces = iter([blob[at : at + cut] for at in range(0, len(blob), cut)])
    with pytest.raises(DecompressionError, match="damaged blob: zstd"):
        list(decoders.decode("zstd", lambda: next(pieces, b"")))


def test_a_zstd_frame_is_read_in_the_same_way_however_it_is_cut():
    """libzstd 1.5.7 refuses this frame in one piece, and takes it in several, as zstd -d does."""
    blob = b64decode(
        "KLUv/aRADQMAVAAAEAAAAQD7/znAAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQAAAAA"
        "AANqCADE6XRw"
    )
    for cut in (1, 3, 1 << 20):
        pieces = iter([blob[at : at + cut] for at in range(0, len(blob), cut)])
        assert len(b"".join(decoders.decode("zstd", lambda: next(pieces, b"")))) == 200_000  # noqa: B023


def test_tens_of_thousands_of_tiny_zstd_frames_cost_no_quadratic_time():
    """Each is read for itself: to cut it off what was pulled would move 30 GB."""
    frame = zstandard.compress(b"x")
    pieces = iter([frame * 60_000])
    assert b"".join(decoders.decode("zstd", lambda: next(pieces, b""))) == b"x" * 60_000
