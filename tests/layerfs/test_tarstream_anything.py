"""Whatever comes in, only documented errors come out, and no name outside the root."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import example, given, settings
from hypothesis import strategies as st

from layerfs.errors import LayerFSError
from layerfs.tarstream import Limits

from .handmade import END, GNU, PROPERTY, V7, checked, header, member, old_sparse, padded, pax, read

SAMPLES = [
    member(b"a/b", b"data" * 200) + header(b"d/", b"5") + header(b"l", b"2", linkname=b"../x"),
    pax((b"path", b"long" * 40), (b"size", b"3"), (b"mtime", b"1.5")) + member(b"x", b"abc"),
    pax((b"uid", b"1"), flag=b"g") + header(b"h", b"1", linkname=b"a", size=600) + bytes(1024),
    member(b"././@LongLink", b"n" * 200 + b"\0", b"L", magic=GNU) + member(b"n", magic=GNU),
    old_sparse((0, 5), (10, 2), real=12, size=7) + header(b"c", b"3", major=1, minor=3),
    pax(
        (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"99")
    ) + member(b"s", padded(b"1\n9\n4\n") + b"data"),
    pax((b"GNU.sparse.size", b"9"), (b"GNU.sparse.map", b"0,1,2,1")) + member(b"s", b"ab"),
]  # fmt: skip
LIMITS = Limits(max_members=50, max_header_bytes=1 << 16, max_sparse_entries=64)


def survive(archive: bytes) -> None:
    """Nothing but our own errors may come out, and nothing outside the root."""
    with suppress(LayerFSError):
        for one, data in read(archive, LIMITS):
            assert one.name
            assert b".." not in one.name.split(b"/")
            assert not one.name.startswith(b"/")
            assert len(data) == one.stored_size <= one.size or one.kind != "file"


def test_the_samples_are_whole():
    for sample in SAMPLES:
        assert read(sample + END)


@PROPERTY
@given(st.binary(max_size=2000))
@example(b"\0" * 100)
def test_random_bytes_raise_only_our_errors(data):
    survive(data)


@settings(PROPERTY, max_examples=400)
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=6),
    st.booleans(),
)
def test_mutated_archives_raise_only_our_errors(sample, changes, mend):
    archive = bytearray(sample + END)
    for at, value in changes:
        archive[at % len(archive)] = value
    if mend:  # every block that a header may stand in gets its right checksum
        for at in range(0, len(archive) - len(END), 512):
            block = bytes(archive[at : at + 512])
            if b"ustar" in block[257:263]:
                archive[at : at + 512] = checked(block)
    survive(bytes(archive))


@PROPERTY
@given(st.sampled_from(SAMPLES), st.integers(0, 4000))
def test_truncated_archives_raise_only_our_errors(sample, length):
    survive(sample[:length])


@PROPERTY
@given(
    st.sampled_from([b"0", b"1", b"2", b"3", b"5", b"L", b"K", b"S", b"x", b"g", b"\0"]),
    st.fixed_dictionaries(
        {
            "mode": st.binary(min_size=8, max_size=8),
            "size": st.binary(min_size=12, max_size=12) | st.integers(0, 600),
            "mtime": st.binary(min_size=12, max_size=12),
            "linkname": st.binary(max_size=100),
            "magic": st.sampled_from([b"ustar\x0000", GNU, V7]),
            "prefix": st.binary(max_size=155),
        }
    ),
    st.binary(max_size=100),
    st.binary(max_size=600),
)
def test_random_fields_under_right_checksums_raise_only_our_errors(flag, fields, name, body):
    survive(header(name, flag, **fields) + padded(body) + END)
