from __future__ import annotations

import pytest

from layerfs import tarfields
from layerfs.errors import HostileLayerError, InvalidLayerPathError, LimitExceededError
from layerfs.tarfields import Damage, check_sum, clean_name, clean_target, is_header, number

from .handmade import base256, checked, header


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644),
        (b"000644 \0", 0o644),
        (b"   644 \0", 0o644),
        (b"644\0\0\0\0\0", 0o644),
        (b"77777777", 0o77777777),
        (b"0000644\0".ljust(12, b"x"), 0o644),
        (bytes(8), 0),
        (b" " * 8, 0),
        (b"00000000000\0", 0),
        (b"777777777777", 0o777777777777),
        (base256(0, 12), 0),
        (base256(2**33, 12), 2**33),
        (base256(2**88 - 1, 12), 2**88 - 1),
        (base256(-1, 12), -1),
        (base256(-(2**40), 12), -(2**40)),
        (base256(-1, 8), -1),
        (base256(2**21, 8), 2**21),
    ],
)
def test_numbers_are_octal_or_base_256(field, value):
    assert number(field) == value


@pytest.mark.parametrize(
    "field",
    [
        b"0000648\0",
        b"0000649\0",
        b"-000644\0",
        b"+000644\0",
        b"00_0644\0",
        b"0o00644\0",
        b"0x00644\0",
        b"00 0644\0",
        b"0000644x",
        b"\0000644\0",
        b"000644\n\0",
        b"\x7f000644\0",
        b"000.644\0",
        b"\x81000644\0",
        b"\xfe000644\0",
        b"\xc3\xa900000\0",
    ],
)
def test_anything_else_is_no_number(field):
    with pytest.raises(Damage, match="is not an octal number"):
        number(field)


def test_either_sum_is_accepted_and_any_other_is_not():
    block = header(b"caf\xc3\xa9 \xff\xff")
    signed = checked(block, signed=True)
    assert block != signed
    for good in (block, signed):
        check_sum(good, good[148:156])
        assert is_header(good)
    for at in (0, 7, 100, 156, 300, 511):
        damaged = bytearray(block)
        damaged[at] ^= 0x10
        with pytest.raises(Damage, match="checksum field says"):
            check_sum(bytes(damaged), bytes(damaged[148:156]))
        assert not is_header(bytes(damaged))


def test_the_sum_is_exact_for_the_largest_blocks():
    block = checked(b"\xff" * 512)
    check_sum(block, block[148:156])
    half = checked(b"\xff" * 256 + bytes(256))
    check_sum(half, half[148:156])


@pytest.mark.parametrize("field", [bytes(8), b" " * 8, b"garbage\0", b"\x80" + bytes(7)])
def test_a_checksum_that_is_no_number_is_damage(field):
    block = header()
    with pytest.raises(Damage):
        check_sum(block[:148] + field + block[156:], field)


def test_the_zero_block_and_part_of_a_block_are_no_headers():
    assert not is_header(tarfields.ZERO_BLOCK)
    assert not is_header(header()[:511])
    assert not is_header(b"")


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"a", b"a"),
        (b"a/b", b"a/b"),
        (b"./a/b", b"a/b"),
        (b"/a/b", b"a/b"),
        (b"//a//b//", b"a/b"),
        (b"././a/./b/.", b"a/b"),
        (b"a/", b"a"),
        (b".", b"."),
        (b"./", b"."),
        (b"/", b"."),
        (b"./.", b"."),
        (b".a/.b/...", b".a/.b/..."),
        (b"..a/b..", b"..a/b.."),
        (b"\xff\xfe", b"\xff\xfe"),
        (b"a\nb:c,d\\e", b"a\nb:c,d\\e"),
        (b"x" * 255, b"x" * 255),
        (b"d/" + b"x" * 255, b"d/" + b"x" * 255),
        (b"d/.wh." + b"x" * 255, b"d/.wh." + b"x" * 255),
        (b"./" + b"x/" * 2047 + b"y", b"x/" * 2047 + b"y"),
    ],
)
def test_names_are_normalised_below_the_root(raw, name):
    assert clean_name(raw) == name
    assert clean_name(clean_name(raw)) == name


@pytest.mark.parametrize(
    "raw", [b"..", b"../a", b"a/..", b"a/../b", b"/..", b"./..", b"a/b/../../../c", b"..//a"]
)
def test_parent_components_are_hostile(raw):
    with pytest.raises(HostileLayerError, match="component"):
        clean_name(raw)


@pytest.mark.parametrize("raw", [b"", b"a\0b", b"\0"])
def test_empty_names_and_nul_are_damage(raw):
    with pytest.raises(Damage):
        clean_name(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"x" * 256,
        b"a/" + b"x" * 256 + b"/b",
        b".wh." + b"x" * 256,
    ],
)
def test_components_too_long_for_linux_are_refused(raw):
    with pytest.raises(InvalidLayerPathError, match="longer than") as caught:
        clean_name(raw)
    assert not isinstance(caught.value, HostileLayerError)
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("raw", [b"x/" * 2048 + b"y", b"/" * 4_000_000])
def test_paths_too_long_for_linux_are_refused_by_limit(raw):
    with pytest.raises(LimitExceededError) as caught:
        clean_name(raw)
    assert caught.value.limit == "max_path_bytes=4095"
    assert len(caught.value.message) < 500


def test_symlink_targets_are_kept_as_they_are():
    for raw in (b"..", b"/etc//passwd", b"a/../b/", b"\xff", b"x" * 4095):
        assert clean_target(raw) == raw
    for raw in (b"", b"a\0b"):
        with pytest.raises(Damage):
            clean_target(raw)
    with pytest.raises(InvalidLayerPathError):
        clean_target(b"x" * 4096)
