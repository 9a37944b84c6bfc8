from __future__ import annotations

import base64
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfs import paxrecords
from layerfs.errors import LimitExceededError
from layerfs.limits import Limits
from layerfs.paxrecords import interpret, keep_global, nanoseconds, split
from layerfs.tarfields import Damage

from .handmade import PROPERTY, record

NAMES = st.binary(min_size=1, max_size=40).filter(lambda name: b"=" not in name)


@PROPERTY
@given(st.lists(st.tuples(NAMES, st.binary(max_size=1200)), max_size=5))
def test_split_gives_back_what_was_framed(records):
    assert split(b"".join(record(*one) for one in records)) == records


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        b"path=a\n",
        b" 9 path=a\n",
        b"-9 path=a\n",
        b"1_0 path=a\n",
        b"9  path=a",
        b"11 path=a\n",
        b"8 path=a\n",
        b"99 path=a\n",
        b"9999999999999999999999 path=a\n",
        b"6 path\n",
        b"7 path\n\n",
        b"5 =a\n",
        b"0 path=a\n",
        b"3 \n",
        b"1 ",
        b"9",
        b"9 path=a\n\0\0\0",
        b"9 path=a\n12 mtime=1",
        b"\xd9\xa9 path=a\n",
    ],
)
def test_damaged_framing_is_told(body):
    with pytest.raises(Damage, match=r"^pax record [12] "):
        split(body)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"0", 0),
        (b"1", 10**9),
        (b"1.5", 1_500_000_000),
        (b"1.", 10**9),
        (b"1700000000.123456789", 1_700_000_000_123_456_789),
        (b"1700000000.1234567899999", 1_700_000_000_123_456_789),
        (b"0.000000001", 1),
        (b"0.0000000001", 0),
        (b"-1.5", -1_500_000_000),
        (b"-0.000000001", -1),
        (b"-0.0000000001", -1),
        (b"-1.0000000000", -(10**9)),
        (b"00000000000000000001.1", 1_100_000_000),
        (b"9223372036854775807", (2**63 - 1) * 10**9),
    ],
)
def test_times_are_exact_to_the_nanosecond(value, expected):
    assert nanoseconds(value) == expected


@PROPERTY
@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 10**9 - 1))
def test_times_agree_with_decimal_arithmetic(seconds, fraction):
    text = f"{seconds}.{fraction:09}"
    assert nanoseconds(text.encode()) == int(Decimal(text).scaleb(9).to_integral_exact())


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"-",
        b".5",
        b"+1",
        b" 1",
        b"1 ",
        b"1e5",
        b"nan",
        b"inf",
        b"0x1",
        b"1.-5",
        b"1,5",
        b"1.5.5",
        b"9223372036854775808",
        b"9" * 100_000,
        b"1\n",
    ],
)
def test_other_times_are_damage(value):
    with pytest.raises(Damage, match="pax mtime"):
        nanoseconds(value)


def test_known_keywords_are_interpreted_and_the_last_wins():
    pax = interpret(
        [
            (b"path", b"first"),
            (b"path", b"d/name"),
            (b"linkpath", b"target"),
            (b"size", b"8589934592"),
            (b"uid", b"4294967294"),
            (b"gid", b"0"),
            (b"mtime", b"-1"),
            (b"atime", b"nonsense"),
            (b"ctime", b"nonsense"),
            (b"uname", b"root"),
            (b"comment", b"\xff\0"),
            (b"hdrcharset", b"BINARY"),
            (b"SCHILY.dev", b"1"),
            (b"VENDOR.thing", b"x"),
        ]
    )
    assert pax == paxrecords.Pax(b"d/name", b"target", 2**33, 2**32 - 2, 0, -(10**9))


def test_an_empty_value_withdraws_what_was_said_before():
    pax = interpret(
        [
            (key, value)
            for value in (b"1", b"")
            for key in (b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime")
        ]
    )
    assert pax == paxrecords.Pax()


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        (b"size", b"-1"),
        (b"size", b"1.5"),
        (b"size", b"0x10"),
        (b"size", b"9223372036854775808"),
        (b"size", b"9" * 100_000),
        (b"uid", b"root"),
        (b"gid", b" 0"),
        (b"path", b"a\0b"),
        (b"linkpath", b"\0"),
        (b"hdrcharset", b"KLINGON"),
        (b"GNU.volume.filename", b"x"),
        (b"SCHILY.xattr.", b"x"),
        (b"SCHILY.xattr.user.\0", b"x"),
        (b"LIBARCHIVE.xattr.user.a", b"!!!!"),
        (b"LIBARCHIVE.xattr.", b""),
        (b"LIBARCHIVE.xattr.a%00b", b""),
    ],
)
def test_values_that_cannot_be_are_damage(keyword, value):
    with pytest.raises(Damage) as caught:
        interpret([(keyword, value)])
    assert len(str(caught.value)) < 500


def test_extended_attributes_are_bytes_and_may_be_empty():
    value = bytes(range(256)) + b"=\n"
    pax = interpret(
        [
            (b"SCHILY.xattr.security.capability", value),
            (b"SCHILY.xattr.user.empty", b"old"),
            (b"SCHILY.xattr.user.empty", b""),
        ]
    )
    assert pax.xattrs == {b"security.capability": value, b"user.empty": b""}


def test_gnu_tars_spelling_of_equals_and_percent_in_names_is_undone():
    pax = interpret([(b"SCHILY.xattr.user.a%3Db%253Dc%20", b"x")])
    assert pax.xattrs == {b"user.a=b%3Dc%20": b"x"}


@pytest.mark.parametrize("padding", [True, False])
def test_libarchives_attributes_are_decoded_and_the_plain_form_wins(padding):
    encoded = base64.b64encode(b"\xff\xfe\xfd value")
    pax = interpret(
        [
            (b"LIBARCHIVE.xattr.user.a%20b", encoded if padding else encoded.rstrip(b"=")),
            (b"LIBARCHIVE.xattr.user.both", base64.b64encode(b"encoded")),
            (b"SCHILY.xattr.user.both", b"plain"),
        ]
    )
    assert pax.xattrs == {b"user.a b": b"\xff\xfe\xfd value", b"user.both": b"plain"}


def test_attributes_beyond_what_linux_can_hold_are_refused_by_limit():
    interpret([(b"SCHILY.xattr." + b"n" * 255, bytes(65536))])
    with pytest.raises(LimitExceededError) as caught:
        interpret([(b"SCHILY.xattr." + b"n" * 256, b"")])
    assert caught.value.limit == "max_xattr_name_bytes=255"
    with pytest.raises(LimitExceededError) as caught:
        interpret([(b"SCHILY.xattr.user.a", bytes(65537))])
    assert caught.value.limit == "max_xattr_value_bytes=65536"


def test_attributes_are_limited_one_by_one_and_all_together():
    records = [(b"SCHILY.xattr.user.a", b"1234"), (b"LIBARCHIVE.xattr.user.b", b"MTIzNA==")]
    interpret(records, Limits(max_xattrs_bytes=20, max_xattr_name_bytes=6, max_xattr_value_bytes=4))
    for limits, told in (
        (Limits(max_xattrs_bytes=19), "max_xattrs_bytes=19"),
        (Limits(max_xattr_name_bytes=5), "max_xattr_name_bytes=5"),
        (Limits(max_xattr_value_bytes=3), "max_xattr_value_bytes=3"),
    ):
        with pytest.raises(LimitExceededError) as caught:
            interpret(records, limits)
        assert caught.value.limit == told


def test_sparse_records_are_kept_in_their_order():
    records = [(b"GNU.sparse.offset", b"1"), (b"GNU.sparse.numbytes", b"2")] * 2
    assert interpret(records).sparse == [(b"offset", b"1"), (b"numbytes", b"2")] * 2


@pytest.mark.parametrize("keyword", [b"path", b"linkpath", b"size", b"GNU.sparse.size"])
def test_a_global_header_cannot_make_all_members_one_file(keyword):
    with pytest.raises(Damage, match="every member"):
        keep_global([(keyword, b"1")])


def test_of_a_global_header_only_what_matters_is_kept():
    kept = [(b"uid", b"1"), (b"mtime", b"2"), (b"SCHILY.xattr.user.a", b"b")]
    assert keep_global([(b"comment", b"x" * 1000), *kept, (b"charset", b"x")]) == kept


@PROPERTY
@given(st.lists(st.tuples(NAMES, st.binary(max_size=30))))
def test_any_records_are_interpreted_or_damage(records):
    with suppress(Damage):
        interpret(records)
