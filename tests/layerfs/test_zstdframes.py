from __future__ import annotations

import random

import pytest
import zstandard

from layerfs.errors import DecompressionError
from layerfs.zstdframes import FrameWalker


def frames() -> list[bytes]:
    """Frames of every shape that libzstd writes: with and without sizes, checksums, big blocks."""
    noise = random.Random(4).randbytes(300_000)
    contents = [b"", b"x", b"text " * 60, bytes(500_000), noise, noise + bytes(70_000)]
    made = []
    for data in contents:
        for checksum in (False, True):
            for sized in (False, True):
                make = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=sized)
                made.append(make.compress(data))
                stream = make.compressobj()
                made.append(stream.compress(data) + stream.flush())
    return made


def feed_all(walker, data):
    at = 0
    while at < len(data):
        at = walker.feed(data, at)


def skippable(magic: int, payload: bytes) -> bytes:
    return magic.to_bytes(4, "little") + len(payload).to_bytes(4, "little") + payload


@pytest.mark.parametrize("step", [1, 3, 1000, 1 << 20])
def test_a_stream_is_whole_exactly_between_frames(step):
    made = [one for one in frames() if step > 3 or len(one) < 2000]
    made += [skippable(0x184D2A50, b"payload"), skippable(0x184D2A5F, b"")]
    walker = FrameWalker()
    for count, frame in enumerate(made, 1):
        for at in range(0, len(frame), step):
            if at:
                assert not walker.whole
            feed_all(walker, frame[at : at + step])
        assert walker.whole
        assert walker.frames == count
    assert walker.offset == sum(map(len, made))


def test_nothing_is_whole_but_has_no_frame():
    walker = FrameWalker()
    walker.feed(b"")
    assert (walker.whole, walker.frames, walker.offset) == (True, 0, 0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x1f\x8b\x08\0", "not a zstd stream, before offset 4"),
        (zstandard.compress(b"x") + b"junk", "garbage after the end"),
        (b"\x28\xb5\x2f\xfd\x08", "reserved flag"),
        (b"\x28\xb5\x2f\xfd\x00\x58\x06\0\0", "reserved type"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_offset(data, words):
    with pytest.raises(DecompressionError, match=words):
        feed_all(FrameWalker(), data)
    walker = FrameWalker()
    with pytest.raises(DecompressionError, match=words):
        list(map(walker.feed, (data[at : at + 1] for at in range(len(data)))))


@pytest.mark.parametrize("size", [0, 1, 255, 256, 300, 65_791, 65_792, 70_000])
@pytest.mark.parametrize("says", [True, False])
def test_a_frame_says_how_much_it_holds(size, says):
    walker = FrameWalker()
    frame = zstandard.ZstdCompressor(write_content_size=says).compress(bytes(size))
    header = walker.feed(frame + b"more")
    assert 5 <= header < len(frame) - 2
    assert not walker.whole
    assert walker.feed(frame + b"more", header) == len(frame)
    assert walker.whole
    assert walker.content == (size if says else None)
