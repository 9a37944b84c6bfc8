from __future__ import annotations

import pytest

from layerfs import tarsparse
from layerfs.errors import LimitExceededError
from layerfs.tarfields import Damage
from layerfs.tarsparse import PaxSparse, checked, from_pax, leading_map, padded

from .handmade import base256, octal

MOST = 100


def blocks(data: bytes):
    pieces = [data[at : at + 512] for at in range(0, len(data), 512)]

    def next_block() -> bytes:
        if not pieces:
            raise Damage("no more")
        return pieces.pop(0)

    return next_block, pieces


def entries(*pairs: tuple[int, int], room: int) -> bytes:
    return b"".join(octal(a, 12) + octal(b, 12) for a, b in pairs).ljust(24 * room, b"\0")


def old_header(*pairs: tuple[int, int], more: bool = False, real: bytes) -> bytes:
    return bytes(386) + entries(*pairs, room=4) + bytes([more]) + real.ljust(29, b"\0")


def extension(*pairs: tuple[int, int], more: bool = False) -> bytes:
    return entries(*pairs, room=21) + bytes([more]) + bytes(7)


def test_the_old_gnu_map_goes_on_in_extension_blocks():
    first, second = [(n * 1024, 512) for n in range(4)], [(n * 1024, 512) for n in range(4, 25)]
    header = old_header(*first, more=True, real=base256(2**34, 12))
    next_block, left = blocks(extension(*second, more=True) + extension((2**33 - 1, 0)))
    found = tarsparse.old_gnu(header, next_block, MOST)
    assert found == ([*first, *second, (2**33 - 1, 0)], 2**34)
    assert not left


def test_the_old_gnu_map_ends_at_an_empty_entry():
    header = old_header((0, 512), more=False, real=octal(1024, 12))
    next_block, _ = blocks(b"")
    assert tarsparse.old_gnu(header, next_block, MOST) == ([(0, 512)], 1024)


def test_a_negative_real_size_is_damage():
    with pytest.raises(Damage, match="the real size -1 is not between"):
        tarsparse.old_gnu(old_header(real=b"\xff" * 12), blocks(b"")[0], MOST)


def test_an_endless_old_gnu_map_is_refused_by_limit():
    header = old_header(*[(0, 1)] * 4, more=True, real=octal(1, 12))
    with pytest.raises(LimitExceededError) as caught:
        tarsparse.old_gnu(header, lambda: extension(*[(0, 1)] * 21, more=True), MOST)
    assert caught.value.limit == "max_sparse_entries=100"


def test_version_0_0_takes_turns():
    records = [
        (b"size", b"4096"),
        (b"numblocks", b"2"),
        (b"offset", b"0"),
        (b"numbytes", b"512"),
        (b"offset", b"1024"),
        (b"numbytes", b"1"),
    ]
    assert from_pax(records, MOST) == PaxSparse(4096, [(0, 512), (1024, 1)], None)


def test_version_0_1_has_the_map_in_one_record():
    records = [(b"name", b"real"), (b"size", b"9"), (b"numblocks", b"2"), (b"map", b"0,1,4,5")]
    assert from_pax(records, MOST) == PaxSparse(9, [(0, 1), (4, 5)], b"real")
    assert from_pax([(b"size", b"9"), (b"map", b"")], MOST) == PaxSparse(9, [], None)


def test_version_1_0_has_the_map_before_the_data():
    records = [(b"major", b"1"), (b"minor", b"0"), (b"name", b"n"), (b"realsize", b"7")]
    assert from_pax(records, MOST) == PaxSparse(7, None, b"n")


@pytest.mark.parametrize(
    "records",
    [
        [],
        [(b"size", b"-1")],
        [(b"size", b"")],
        [(b"size", b"1"), (b"map", b"1")],
        [(b"size", b"1"), (b"map", b"0,1,")],
        [(b"size", b"1"), (b"map", b"0,-1")],
        [(b"size", b"1"), (b"map", b"0, 1")],
        [(b"size", b"1"), (b"map", b"a,b")],
        [(b"size", b"1"), (b"map", b"0,1"), (b"numblocks", b"2")],
        [(b"size", b"1"), (b"offset", b"0"), (b"offset", b"1")],
        [(b"size", b"1"), (b"numbytes", b"0"), (b"offset", b"1")],
        [(b"size", b"1"), (b"offset", b"0")],
        [(b"major", b"1"), (b"minor", b"0")],
        [(b"major", b"1"), (b"minor", b"1"), (b"realsize", b"1")],
        [(b"major", b"2"), (b"minor", b"0"), (b"realsize", b"1")],
        [(b"major", b"1" * 100_000), (b"realsize", b"1")],
    ],
)
def test_records_that_make_no_sense_are_damage(records):
    with pytest.raises(Damage) as caught:
        from_pax(records, MOST)
    assert len(str(caught.value)) < 300


def test_a_long_map_is_refused_by_limit():
    for records in (
        [(b"size", b"1"), (b"map", b",".join([b"0"] * 202))],
        [(b"size", b"1"), *[(b"offset", b"0"), (b"numbytes", b"0")] * 101],
    ):
        with pytest.raises(LimitExceededError):
            from_pax(records, MOST)


def test_a_leading_map_takes_whole_blocks_and_no_more():
    pairs = [(n * 10**6, 512) for n in range(90)]
    lines = b"90\n" + b"".join(b"%d\n%d\n" % pair for pair in pairs)
    size = padded(len(lines))
    next_block, left = blocks(lines.ljust(size, b"\0") + b"data".ljust(512))
    assert leading_map(next_block, MOST) == pairs
    assert left == [b"data".ljust(512)]


def test_an_empty_leading_map_is_one_block():
    next_block, left = blocks(b"0\n".ljust(512, b"\0"))
    assert leading_map(next_block, MOST) == []
    assert not left


@pytest.mark.parametrize(
    "data",
    [
        bytes(512),
        b"\n".ljust(512, b"\0"),
        b"x\n".ljust(512, b"\0"),
        b"-1\n".ljust(512, b"\0"),
        b"1\n0\n".ljust(512, b"\0"),
        b"1\n0\n-5\n".ljust(512, b"\0"),
        b"1\n0\n5".ljust(512, b"\0") + bytes(512),
        b"1" * 2048,
        b"",
    ],
)
def test_a_damaged_leading_map_is_damage(data):
    next_block, _ = blocks(data)
    with pytest.raises(Damage):
        leading_map(next_block, MOST)


def test_a_long_leading_map_is_refused_before_it_is_read():
    next_block, left = blocks(b"999999999\n".ljust(512, b"\0") + bytes(512))
    with pytest.raises(LimitExceededError):
        leading_map(next_block, MOST)
    assert len(left) == 1


def test_a_map_that_adds_up_loses_its_empty_entries():
    assert checked([(0, 0), (0, 4), (8, 2), (10, 0)], 10, 6) == [(0, 4), (8, 2)]
    assert checked([], 2**60, 0) == []


@pytest.mark.parametrize(
    ("pairs", "real", "stored"),
    [
        ([(0, 4), (3, 2)], 10, 6),
        ([(4, 2), (0, 2)], 10, 4),
        ([(0, 4), (8, 3)], 10, 7),
        ([(11, 0)], 10, 0),
        ([(-1, 2)], 10, 2),
        ([(4, -2)], 10, -2),
        ([(0, 4)], 10, 5),
        ([(0, 4)], 10, 3),
        ([], 10, 1),
        ([(0, 4)], -4, 4),
    ],
)
def test_a_map_that_does_not_add_up_is_damage(pairs, real, stored):
    with pytest.raises(Damage, match="sparse map"):
        checked(pairs, real, stored)
