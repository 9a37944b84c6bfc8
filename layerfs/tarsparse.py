"""The four ways in which GNU tar stores sparse files. No I/O.

Source: the GNU tar manual, "Storing Sparse Files". The map is a list of ``(offset, length)`` in
bytes: where the stored data, one run after the other, belong in the file. All else are holes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from layerfs.errors import LimitExceededError
from layerfs.paxrecords import Record, decimal
from layerfs.tarfields import BLOCK, Damage, number, positive

Map = list[tuple[int, int]]

_ENTRY: Final = struct.Struct("12s12s")
#: In the main header: four entries, then the flag "more follow", then the file's real size.
_HEADER_ENTRIES: Final = (386, 4)
_HEADER_MORE: Final = 482
_HEADER_REAL_SIZE: Final = slice(483, 495)
#: In an extension block.
_BLOCK_ENTRIES: Final = (0, 21)
_BLOCK_MORE: Final = 504
_LINE_MAX: Final = 20


@dataclass(slots=True)
class PaxSparse:
    """What the GNU.sparse records say; ``map`` is None when it leads the data (version 1.0)."""

    real_size: int
    map: Map | None
    name: bytes | None


def old_gnu(block: bytes, more: Callable[[], bytes], most: int) -> tuple[Map, int]:
    """Return the map and real size of a typeflag "S" header; ``more`` reads the next block."""
    entries: Map = []
    going = _old_entries(block, _HEADER_ENTRIES, entries)
    real_size = positive(block[_HEADER_REAL_SIZE], "the real size")
    limit(len(entries), most)
    follow = block[_HEADER_MORE]
    while follow:
        extension = more()
        if going:
            going = _old_entries(extension, _BLOCK_ENTRIES, entries)
        limit(len(entries), most)
        follow = extension[_BLOCK_MORE]
    return entries, real_size


def _old_entries(block: bytes, where: tuple[int, int], entries: Map) -> bool:
    start, count = where
    for at in range(start, start + count * _ENTRY.size, _ENTRY.size):
        offset, length = _ENTRY.unpack_from(block, at)
        if not length[0]:
            return False
        entries.append((number(offset), number(length)))
    return True


def from_pax(records: list[Record], most: int) -> PaxSparse:
    """Read the records of versions 0.0, 0.1 and 1.0; Damage when they make no sense together."""
    single = dict(records)
    name = single.get(b"name") or None
    version = (single.get(b"major", b"0"), single.get(b"minor", b"0"))
    if version == (b"1", b"0"):
        return PaxSparse(_size(single, b"realsize"), None, name)
    if version[0] != b"0" or version[1] not in {b"0", b"1"}:
        raise Damage(f"sparse format {version[0][:20]!r}.{version[1][:20]!r} is not known")
    numbers: list[int]
    if b"map" in single:
        listed = single[b"map"].split(b",") if single[b"map"] else []
        limit(len(listed) // 2, most)
        numbers = [decimal(one, "a number of GNU.sparse.map") for one in listed]
    else:
        numbers = _pairs(records, most)
    if len(numbers) % 2:
        raise Damage("the sparse map has an offset without a length")
    entries = list(zip(numbers[::2], numbers[1::2], strict=True))
    if b"numblocks" in single and decimal(single[b"numblocks"], "GNU.sparse.numblocks") != len(
        entries
    ):
        raise Damage(f"GNU.sparse.numblocks does not count the map's {len(entries)} entries")
    return PaxSparse(_size(single, b"size"), entries, name)


def _pairs(records: list[Record], most: int) -> list[int]:
    # Version 0.0 repeats two keywords by turns, which the pax standard did not foresee.
    numbers: list[int] = []
    for keyword, value in records:
        if keyword not in {b"offset", b"numbytes"}:
            continue
        if (keyword == b"numbytes") != bool(len(numbers) % 2):
            raise Damage("GNU.sparse.offset and GNU.sparse.numbytes do not take turns")
        numbers.append(decimal(value, f"GNU.sparse.{keyword.decode()}"))
        limit(len(numbers) // 2, most)
    return numbers


def _size(single: dict[bytes, bytes], keyword: bytes) -> int:
    if keyword not in single:
        raise Damage(f"a sparse file without GNU.sparse.{keyword.decode()}")
    return decimal(single[keyword], f"GNU.sparse.{keyword.decode()}")


def leading_map(next_block: Callable[[], bytes], most: int) -> Map:
    """Read the map of version 1.0 from the start of the data, in whole blocks.

    It is decimal numbers, one on a line: how many entries, then offset and length of each.
    """
    lines: list[bytes] = []
    rest = b""
    wanted = 1
    while len(lines) < wanted:
        *whole, rest = (rest + next_block()).split(b"\n")
        if len(rest) > _LINE_MAX and len(lines) + len(whole) < wanted:
            raise Damage(f"the sparse map has a line {rest[:64]!r}")
        lines += whole
        if wanted == 1 and lines:
            count = decimal(lines[0], "the length of the sparse map")
            limit(count, most)
            wanted = 1 + 2 * count
    numbers = [decimal(one, "a number of the sparse map") for one in lines[1:wanted]]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def limit(count: int, most: int) -> None:
    """LimitExceededError when a map has more entries than are allowed."""
    if count > most:
        raise LimitExceededError(
            f"a sparse file of {count} pieces", limit=f"max_sparse_entries={most}"
        )


def checked(entries: Map, real_size: int, stored: int) -> Map:
    """Return the entries that have data, when the map describes ``stored`` bytes in order.

    Damage when pieces overlap, go backwards, leave the file, or do not add up.
    """
    end = total = 0
    for offset, length in entries:
        if length < 0 or offset < end or offset + length > real_size:
            raise Damage(
                f"the sparse map's piece of {length} bytes at {offset} overlaps another, or "
                f"leaves the file of {real_size} bytes"
            )
        end = offset + length
        total += length
    if total != stored:
        raise Damage(f"the sparse map describes {total} bytes, but {stored} are stored")
    return [one for one in entries if one[1]]


def padded(size: int) -> int:
    """Return ``size`` rounded up to whole blocks."""
    return size + -size % BLOCK
