"""What the reader refuses: damaged, truncated, ambiguous, hostile and excessive archives."""

from __future__ import annotations

import gzip
import io

import pytest
import zstandard

from layerfs.errors import (
    DecompressionError,
    HostileLayerError,
    InvalidLayerPathError,
    LayerFSError,
    LimitExceededError,
    ValidationError,
)
from layerfs.tarstream import Limits, TarReader

from .handmade import (
    END,
    GNU,
    V7,
    base256,
    header,
    member,
    octal,
    old_sparse,
    only,
    pax,
    read,
    record,
)


def refused(archive: bytes, kind: type[LayerFSError] = ValidationError) -> str:
    with pytest.raises(LayerFSError) as caught:
        read(archive)
    assert type(caught.value) is kind
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 1000
    return caught.value.message


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"", bytes(512), END, bytes(10240), bytes(1024 + 100)])
def test_an_archive_may_end_in_zeros_or_exactly_after_a_member(end):
    assert [data for _, data in read(member(b"a", b"data") + end)] == [b"data"]


@pytest.mark.parametrize("archive", [bytes(512), END, bytes(10240)])
def test_an_archive_of_zeros_is_empty(archive):
    assert read(archive) == []


def test_an_empty_stream_is_no_archive():
    assert "the stream is empty" in refused(b"")


@pytest.mark.parametrize("junk", [b"x", bytes(511) + b"x", bytes(600) + b"x", member(b"hidden")])
@pytest.mark.parametrize("end", [512, 1024])
def test_anything_but_zeros_after_the_end_is_refused_with_its_offset(junk, end):
    archive = member(b"a") + bytes(end) + junk + bytes(5000)
    first = len(archive) - len(archive[512:].lstrip(b"\0"))
    assert f"offset {first} is not zero" in refused(archive)


def test_the_source_is_read_to_its_end():
    source = io.BytesIO(member() + bytes(5_000_000))
    assert len(list(TarReader(source))) == 1
    assert source.tell() == 512 + 5_000_000


def test_truncation_anywhere_inside_is_refused_with_the_offset():
    archive = (
        member(b"a", b"x" * 700)
        + pax((b"path", b"p/" * 300 + b"q"))
        + member(b"b", b"y")
        + member(b"././@LongLink", b"l/" * 300 + b"q\0", b"L", magic=GNU)
        + member(b"c", magic=GNU)
        + header(b"s", b"S", magic=GNU, prefix=bytes(137) + b"\1" + octal(1, 12))
        + bytes(512)
    )
    whole = [0, 1536, 1536 + 1536 + 1024, 1536 + 1536 + 1024 + 1536 + 512]
    for length in range(0, len(archive), 64):
        if length in whole[1:]:
            read(archive[:length])
            continue
        message = refused(archive[:length])
        assert "offset" in message
        assert any(
            word in message for word in ("cut short", "ends after an extended header", "is empty")
        )


# --- headers --------------------------------------------------------------------------------------


def test_a_wrong_checksum_is_refused_with_offset_and_sums():
    good, bad = member(b"good", b"data"), bytearray(member(b"bad"))
    bad[0] ^= 1
    message = refused(good + bytes(bad) + END)
    assert "offset 1024" in message
    assert "checksum" in message


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_compressed_data_are_named_as_such(pack):
    assert "compressed data, not a tar" in refused(pack(bytes(10**6)) + bytes(512))


@pytest.mark.parametrize("field", ["mode", "uid", "gid", "size", "mtime"])
@pytest.mark.parametrize("value", [b"99999", b"-1", b"0x1", b"12 34", b"\xc3\xa9", b"\0007"])
@pytest.mark.parametrize("magic", [b"ustar\x0000", V7])
def test_damaged_octal_fields_are_refused(field, value, magic):
    message = refused(header(**{field: value}, magic=magic) + END)
    assert "offset 0" in message
    assert "octal" in message


@pytest.mark.parametrize("field", ["major", "minor"])
def test_damaged_device_numbers_are_refused(field):
    assert "octal" in refused(header(b"d", b"3", **{field: b"9"}) + END)
    width = {"major": 0o10000, "minor": 0o4000000}[field]
    assert "no device number" in refused(header(b"d", b"4", **{field: width}) + END)
    assert "no device number" in refused(header(b"d", b"4", **{field: base256(-1, 8)}) + END)


@pytest.mark.parametrize("magic", [b"ustar\x0000", GNU, V7])
@pytest.mark.parametrize("size", [-1, -(2**80), 2**63, 2**87])
def test_negative_and_huge_sizes_are_refused(size, magic):
    for flag in (b"0", b"1", b"5", b"x", b"g", b"L", b"K", b"S"):
        message = refused(header(b"n", flag, size=base256(size, 12), magic=magic) + END)
        assert str(size) in message
        assert "offset 0" in message


@pytest.mark.parametrize("owner", [-1, 2**32 - 1, 2**40])
@pytest.mark.parametrize("field", ["uid", "gid"])
def test_owners_that_linux_cannot_have_are_refused(field, owner):
    assert "no valid owner" in refused(header(**{field: base256(owner, 8)}) + END)
    if owner > 0:
        archive = pax((field.encode(), b"%d" % owner)) + member() + END
        assert "no valid owner" in refused(archive)


@pytest.mark.parametrize("seconds", [2**63, -(2**63) - 1, 2**87])
def test_times_beyond_64_bits_are_refused(seconds):
    for flag in (b"0", b"1"):
        archive = header(b"n", flag, mtime=base256(seconds, 12), linkname=b"t") + END
        assert "64 bits" in refused(archive)


@pytest.mark.parametrize(
    "flag", [b"8", b"9", b"A", b"D", b"M", b"N", b"V", b"X", b"s", b"\xff", b" "]
)
def test_unknown_type_flags_are_refused(flag):
    assert "unknown type flag" in refused(header(b"strange", flag) + END)


def test_a_directory_with_data_is_refused():
    assert "trailing slash" in refused(member(b"d/", b"data") + END)


# --- extended headers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"99 path=a\n", b"path=a\n", b"9 path=ab", b"7 path\n", b"5 =\n\n", b"x", b"13 size=-123\n",
     record(b"mtime", b"soon"), record(b"path", b"a\0b"), record(b"uid", b"root")],
)  # fmt: skip
@pytest.mark.parametrize("flag", [b"x", b"g"])
def test_damaged_pax_headers_are_refused(body, flag):
    message = refused(member(b"first") + pax(body, flag=flag) + member() + END)
    assert "offset 512" in message
    assert "pax" in message


def test_what_may_be_said_once_is_refused_twice():
    long_name = member(b"././@LongLink", b"name\0", b"L", magic=GNU)
    long_link = member(b"././@LongLink", b"name\0", b"K", magic=GNU)
    for twice in (pax((b"uid", b"1")), long_name, long_link):
        assert "a second" in refused(twice + twice + member() + END)
    assert "two long names" in refused(long_name + pax((b"path", b"other")) + member() + END)
    assert "two long link names" in refused(
        long_link + pax((b"linkpath", b"other")) + header(b"n", b"2", linkname=b"t") + END
    )


@pytest.mark.parametrize("end", [b"", END])
@pytest.mark.parametrize(
    "extension", [pax((b"uid", b"1")), pax(), member(b"n", b"n", b"L"), member(b"n", b"n", b"K")]
)
def test_an_extended_header_needs_its_member(extension, end):
    assert "without its member" in refused(member(b"a") + extension + end)


def test_a_global_header_may_be_all():
    assert read(pax((b"comment", b"c"), flag=b"g") + END) == []


@pytest.mark.parametrize("name", [b"", b"\0", b"a\0b", b"a\0\0b\0"])
def test_long_names_with_nul_or_nothing_are_refused(name):
    for flag in (b"L", b"K"):
        archive = member(b"././@LongLink", name, flag, magic=GNU)
        refused(archive + header(b"n", b"2", linkname=b"t", magic=GNU) + END)


@pytest.mark.parametrize("key", [b"path", b"linkpath", b"size", b"GNU.sparse.major"])
def test_a_global_header_cannot_name_a_file(key):
    assert "every member" in refused(pax((key, b"1"), flag=b"g") + member() + END)


# --- names and links ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"..", b"../x", b"a/../../x", b"/..", b"d/.."])
def test_parent_components_are_hostile_wherever_a_name_is_given(name):
    for archive in (
        member(name),
        member(name, flag=b"5"),
        pax((b"path", name)) + member(),
        member(b"././@LongLink", name + b"\0", b"L", magic=GNU) + member(magic=GNU),
        header(b"l", b"1", linkname=name),
        pax((b"linkpath", name)) + header(b"l", b"1", linkname=b"t"),
        member(b"x", prefix=name),
        pax(
            (b"GNU.sparse.name", name), (b"GNU.sparse.size", b"0"), (b"GNU.sparse.map", b"")
        ) + member(),
    ):  # fmt: skip
        refused(archive + END, HostileLayerError)


def test_a_symlink_may_point_anywhere():
    assert only(header(b"l", b"2", linkname=b"../../etc") + END).linkname == b"../../etc"


def test_absolute_names_are_confined():
    assert only(member(b"/etc/passwd") + END).name == b"etc/passwd"
    assert only(header(b"/l", b"1", linkname=b"/etc/passwd") + END).linkname == b"etc/passwd"


def test_names_too_long_for_linux_are_refused():
    refused(pax((b"path", b"x" * 256)) + member() + END, InvalidLayerPathError)
    refused(
        pax((b"linkpath", b"x" * 4096)) + header(b"l", b"2") + END,
        InvalidLayerPathError,
    )


def test_paths_longer_than_allowed_are_refused_also_of_hard_links():
    name = b"x/" * 149 + b"yy"
    for archive in (
        pax((b"path", name)) + member() + END,
        pax((b"linkpath", name)) + header(b"l", b"1") + END,
    ):
        read(archive, Limits(max_path_bytes=300))
        assert limited(archive, Limits(max_path_bytes=299)) == "max_path_bytes=299"
    assert limited(pax((b"path", b"x/" * 3000)) + member() + END, Limits()) == "max_path_bytes=4095"


@pytest.mark.parametrize("flag", [b"1", b"2"])
def test_a_link_needs_a_target(flag):
    refused(header(b"l", flag) + END)


@pytest.mark.parametrize("name", [b".", b"./", b"/", b"././"])
def test_the_root_can_only_be_a_directory(name):
    assert only(header(name, b"5") + END).name == b"."
    for flag in (b"1", b"2", b"3", b"6"):
        refused(header(name, flag, linkname=b"t") + END, InvalidLayerPathError)
    refused(header(b".", b"0") + END, InvalidLayerPathError)


def test_an_empty_name_is_refused():
    for flag in (b"0", b"1", b"2", b"5", b"6"):
        assert "name is empty" in refused(header(b"", flag, linkname=b"t") + END)


def test_a_hardlink_whose_data_may_be_headers_is_refused():
    inner = member(b"smuggled", b"x")
    link = header(b"l", b"1", linkname=b"t", size=len(inner))
    assert "may or may not follow" in refused(pax((b"mtime", b"1")) + link + inner + END)


# --- sparse ---------------------------------------------------------------------------------------


def test_sparse_maps_that_do_not_add_up_are_refused():
    assert only(old_sparse((0, 5), (10, 2), real=12, size=7) + END).size == 12
    for pairs, real, size in (
        ([(0, 5)], 12, 7),
        ([(0, 5), (4, 2)], 12, 7),
        ([(0, 5), (11, 2)], 12, 7),
        ([(10, 2), (0, 5)], 12, 7),
    ):
        assert "sparse map" in refused(old_sparse(*pairs, real=real, size=size) + END)


def test_old_sparse_files_belong_to_gnu_archives():
    assert "not GNU's" in refused(header(b"s", b"S") + END)


def test_a_sparse_map_cannot_be_longer_than_its_data():
    records = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")]
    sparse = pax(*records, (b"GNU.sparse.realsize", b"99"))
    assert "longer than the data" in refused(sparse + member(b"s", b"2\n0\n1\n") + END)
    assert "longer than the data" in refused(
        sparse + member(b"s", b"130\n" + b"0\n" * 254 + b"0") + END
    )
    assert "cut short" in refused(sparse + header(b"s", size=4096))


# --- limits ---------------------------------------------------------------------------------------


def limited(archive: bytes, limits: Limits) -> str | None:
    with pytest.raises(LimitExceededError) as caught:
        read(archive, limits)
    return caught.value.limit


def test_more_members_than_allowed_are_refused():
    archive = member() * 2 + header(b"l", b"1", linkname=b"t")
    assert len(read(archive + END, Limits(max_members=3))) == 3
    for one_more in (member(), header(b"l", b"1", linkname=b"t")):
        assert limited(archive + one_more, Limits(max_members=3)) == "max_members=3"


@pytest.mark.parametrize("flag", [b"x", b"g", b"L", b"K"])
def test_an_extended_header_of_a_gigabyte_is_refused_before_it_is_read(flag):
    source = io.BytesIO(header(b"n", flag, size=2**30) + bytes(10_000_000))
    with pytest.raises(LimitExceededError) as caught:
        next(TarReader(source))
    assert caught.value.limit == f"max_header_bytes={4 << 20}"
    assert source.tell() < 2_000_000


def test_global_headers_cannot_grow_for_ever():
    archive = b"".join(
        pax((b"SCHILY.xattr.user.%d" % n, bytes(6000)), flag=b"g") for n in range(200)
    )
    assert limited(archive + END, Limits()) == f"max_global_bytes={8 << 10}"
    assert limited(archive + END, Limits(max_global_bytes=2 << 20)) == f"max_xattrs_bytes={1 << 20}"


def test_files_larger_than_allowed_are_refused_also_when_sparse():
    limits = Limits(max_file_bytes=10)
    assert read(member(b"n", bytes(10)) + END, limits)
    assert limited(member(b"n", bytes(11)) + END, limits) == "max_file_bytes=10"
    assert limited(old_sparse(real=11, size=0) + END, limits) == "max_file_bytes=10"
    huge = header(b"n", size=base256(2**62, 12), magic=GNU)
    assert limited(huge, Limits()) == f"max_file_bytes={2**42}"


def test_sparse_files_larger_than_allowed_together_are_refused():
    two = old_sparse(real=10, size=0) * 2 + END
    assert len(read(two, Limits(max_apparent_bytes=20))) == 2
    assert limited(two, Limits(max_apparent_bytes=19)) == "max_apparent_bytes=19"
    plain = member(b"n", bytes(10)) * 2 + END
    assert len(read(plain, Limits(max_apparent_bytes=10))) == 2


def test_sparse_files_of_more_pieces_than_allowed_are_refused():
    archive = old_sparse((0, 1), (2, 1), (4, 1), real=5, size=3) + END
    limits = Limits(max_sparse_entries=2)
    many = pax((b"GNU.sparse.size", b"9"), (b"GNU.sparse.map", b"0,1,2,1,4,1"))
    assert limited(many + member(b"s", b"abc") + END, limits) == "max_sparse_entries=2"
    assert limited(archive, limits) == "max_sparse_entries=2"


# --- errors and the reader ------------------------------------------------------------------------


def test_an_error_is_repeated_and_never_turns_into_an_end():
    reader = TarReader(io.BytesIO(member(b"a") + b"junk" * 128 + member(b"b") + END))
    assert next(reader).name == b"a"
    for _ in range(3):
        with pytest.raises(ValidationError, match="offset 512"):
            next(reader)


def test_data_that_are_cut_short_are_refused_wherever_they_are_read():
    archive = header(b"a", size=5_000_000) + bytes(3_000_000)
    for take in (
        lambda reader: reader.read(),
        lambda reader: list(reader.chunks()),
        lambda reader: reader.copy(lambda _: None),
        next,
    ):
        reader = TarReader(io.BytesIO(archive))
        next(reader)
        with pytest.raises(ValidationError, match=f"cut short: it ends at offset {len(archive)}"):
            take(reader)


def test_errors_of_the_source_pass_through():
    class Failing:
        def read(self, _):
            raise DecompressionError("damaged")

    with pytest.raises(DecompressionError):
        next(TarReader(Failing()))
