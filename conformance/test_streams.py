"""Compressed streams that are cut, damaged, or have something before, between or behind."""

import gzip
import random
import struct
import zlib

import pytest

from conformance import model
from conformance.bounds import refuses_each
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import Dir, File, Layer, compress
from conformance.tar import BLOCK

NOISE = random.Random(3).randbytes(2500)
LAYER = Layer(Dir("d"), File("d/noise", NOISE), File("d/empty", b""))
TAR = LAYER.tar()
#: Of one gzip member: its first 10 bytes, and the CRC32 and ISIZE behind its data.
HEAD, TRAILER = 10, 8
#: RFC 8878, 3.1.2: any of 16 magic numbers, and a length.
SKIPPABLE = struct.pack("<II", 0x184D2A5A, 5) + b"notes"
#: A zstd frame without content.
EMPTY_FRAME = compress("zstd", b"")
DAMAGE = "PROTOCOL.md, decompression-error"


def stream(id_, source, level=MUST, **more):
    """Return the mark of a clause of this profile."""
    return clause(id_, level, source, profile="hostile", **more)


def gzipped(blob):
    """Return the archive as this very gzip blob."""
    return LAYER.as_blob("gzip", blob)


def zipped(blob):
    """Return the archive as this very zstd blob."""
    return LAYER.as_blob("zstd", blob)


def cuts(blob, edge):
    """Return the lengths to cut a blob to: all near its ends, and every whole block."""
    near = {*range(edge + 1), *range(len(blob) - edge, len(blob))}
    return sorted(near | set(range(0, len(blob), BLOCK)))


@stream("HST-120", f"RFC 1952, 2.2 and 2.3; {DAMAGE}")
@pytest.mark.parametrize("members", [1, 2])
def test_a_gzip_stream_that_is_cut_anywhere_is_refused(subject, host, members):
    """A gzip blob that ends anywhere before its end is refused, block boundaries included."""
    blob = LAYER.in_parts("gzip", members).blob()
    between = len(compress("gzip", TAR[: len(TAR) // 2]))
    lengths = [length for length in cuts(blob, 12) if members == 1 or length != between]

    cut = {f"{length} bytes of {len(blob)}": gzipped(blob[:length]) for length in lengths}
    refuses_each(subject, host, cut, "decompression-error", verb="add")


@stream("HST-121", f"RFC 8878, 3.1; {DAMAGE}", needs=("zstd",))
@pytest.mark.parametrize("frames", [1, 2])
def test_a_zstd_stream_that_is_cut_anywhere_is_refused(subject, host, frames):
    """A zstd blob that ends anywhere before its end is refused, block boundaries included."""
    blob = LAYER.in_parts("zstd", frames).blob()
    between = len(compress("zstd", TAR[: len(TAR) // 2]))
    lengths = [length for length in cuts(blob, 12) if frames == 1 or length != between]

    cut = {f"{length} bytes of {len(blob)}": zipped(blob[:length]) for length in lengths}
    refuses_each(subject, host, cut, "decompression-error", verb="add")


@stream("HST-122", f"RFC 1952, 2.3.1: CRC32, ISIZE; {DAMAGE}")
@pytest.mark.parametrize("which", ["first", "middle", "last"])
@pytest.mark.parametrize("field", ["CRC32", "ISIZE"])
def test_the_checksum_of_every_gzip_member_counts(subject, host, which, field):
    """A gzip member whose checksum or length is wrong is refused, wherever it stands."""
    parts = [compress("gzip", TAR[at : at + 1024]) for at in range(0, len(TAR), 1024)]
    at = {"first": 0, "middle": 1, "last": len(parts) - 1}[which]
    byte = len(parts[at]) - (TRAILER if field == "CRC32" else 4)
    parts[at] = parts[at][:byte] + bytes([parts[at][byte] ^ 1]) + parts[at][byte + 1 :]

    wrong = {f"{field} of the {which} member": gzipped(b"".join(parts))}
    refuses_each(subject, host, wrong, "decompression-error", verb="add")


@stream("HST-123", "RFC 1952, 2.3.1: FLG, must give an error indication if a reserved bit is set")
def test_a_gzip_header_of_another_kind_is_refused(subject, host):
    """A gzip member with reserved flags, another method, or another magic number is refused."""
    blob = compress("gzip", TAR)
    wrong = {f"flag {bit:#x}": blob[:3] + bytes([bit]) + blob[4:] for bit in (0x20, 0x40, 0x80)}
    wrong |= {f"method {method}": blob[:2] + bytes([method]) + blob[3:] for method in (0, 7, 9)}
    wrong["magic of compress"] = b"\x1f\x9d" + blob[2:]
    # The second member is looked at as the first is.
    wrong |= {f"second member: {name}": compress("gzip", b"") + one for name, one in wrong.items()}

    layers = {name: gzipped(one) for name, one in wrong.items()}
    refuses_each(subject, host, layers, "decompression-error", verb="add")


def member(*, flags, extra=b""):
    """Return the archive as one gzip member with these flags and header fields."""
    inner = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = b"\x1f\x8b\x08" + bytes([flags]) + struct.pack("<I", 1_700_000_000) + b"\x02\x03" + extra
    if flags & 2:
        head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    return (
        head + inner.compress(TAR) + inner.flush() + struct.pack("<II", zlib.crc32(TAR), len(TAR))
    )


@stream("HST-124", "RFC 1952, 2.3.1.2: a compliant decompressor must accept optional fields")
@pytest.mark.parametrize(
    "blob",
    [
        member(flags=1), member(flags=8, extra=b"layer.tar\0"), member(flags=16, extra=b"note\0"),
        member(flags=4, extra=struct.pack("<H", 7) + b"ab\x03\x00xyz"), member(flags=2),
        member(flags=31, extra=b"\x04\0ab\0\0" + b"name\0" + b"comment\0"),
    ],
    ids=["text", "name", "comment", "extra field", "header checksum", "all of them"],
)  # fmt: skip
def test_what_a_gzip_header_may_say_is_passed_over(subject, blob):
    """Names, comments, extra fields and checksums in a gzip header change nothing."""
    assert gzip.decompress(blob) == TAR

    assert subject.tree(gzipped(blob)) == model.apply(LAYER)


@stream("HST-125", "PROTOCOL.md, add: anything else after the end is an error; RFC 1952, 2.2")
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_nothing_may_follow_a_compressed_stream(subject, host, compression):
    """Zeros, half a header, or a stream of another compression behind the end are refused."""
    if compression == "zstd" and not subject.raw.config.declares("zstd"):
        pytest.skip("the subject does not declare the capability zstd")
    blob = compress(compression, TAR)
    other = {"gzip": EMPTY_FRAME, "zstd": compress("gzip", b"")}[compression]
    behind = {
        "a zero": b"\0", "a block of zeros": bytes(BLOCK), "half a header": blob[:3],
        "a header": blob[:HEAD], "the other compression": other, "the archive": TAR[:BLOCK],
        "a newline": b"\n",
    }  # fmt: skip

    layers = {name: LAYER.as_blob(compression, blob + more) for name, more in behind.items()}
    refuses_each(subject, host, layers, "decompression-error", verb="add")


@stream("HST-126", "RFC 1952, 2.2: a series of members; an empty one is a member as any other")
@pytest.mark.parametrize("where", ["first", "in the middle", "last", "many"])
def test_empty_gzip_members_change_nothing(subject, where):
    """Gzip members without content may stand before, between and behind those that have some."""
    empty = compress("gzip", b"")
    first, second = compress("gzip", TAR[:700]), compress("gzip", TAR[700:])
    blob = {
        "first": empty + first + second,
        "in the middle": first + empty + second,
        "last": first + second + empty,
        "many": empty * 200 + first + empty * 200 + second + empty * 200,
    }[where]

    assert subject.tree(gzipped(blob)) == model.apply(LAYER)


@stream("HST-127", "RFC 8878, 3.1.2: skippable frames", needs=("zstd",))
@pytest.mark.parametrize("between", [SKIPPABLE, EMPTY_FRAME], ids=["skippable", "empty"])
@pytest.mark.parametrize("where", ["first", "in the middle", "last"])
def test_zstd_frames_without_content_change_nothing(subject, where, between):
    """Skippable and empty zstd frames may stand before, between and behind the others."""
    first, second = compress("zstd", TAR[:700]), compress("zstd", TAR[700:])
    blob = {
        "first": between + first + second,
        "in the middle": first + between + second,
        "last": first + second + between,
    }[where]

    assert subject.tree(zipped(blob)) == model.apply(LAYER)


@stream("HST-128", f"RFC 8878, 3.1.2: Frame_Size; {DAMAGE}", needs=("zstd",))
def test_a_skippable_frame_must_be_whole(subject, host):
    """A skippable frame that is longer than what is left of the blob is refused."""
    whole = compress("zstd", TAR)
    longer = {
        "cut": SKIPPABLE[:-1], "4 GiB": struct.pack("<II", 0x184D2A50, 2**32 - 1) + b"x",
        "no length": SKIPPABLE[:6], "no content": SKIPPABLE[:8],
    }  # fmt: skip

    layers = {name: zipped(whole + more) for name, more in longer.items()}
    refuses_each(subject, host, layers, "decompression-error", verb="add")


@stream("HST-129", "RFC 8878, 3.1.1.1.2: a decoder may refuse a window", SHOULD, needs=("zstd",))
def test_a_window_of_terabytes_is_refused(subject, host):
    """A zstd frame that asks for terabytes of memory is refused, whatever its content is."""
    # No checksum, no content size; a window of 1.75 * 2**41 bytes; one raw block, the last.
    frame = struct.pack("<IBB", 0xFD2FB528, 0, 0xFE)
    blob = frame + (len(TAR) << 3 | 1).to_bytes(3, "little") + TAR

    refuses_each(
        subject, host, {"window": zipped(blob)}, "decompression-error", "limit-exceeded", verb="add"
    )
