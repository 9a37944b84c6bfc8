from __future__ import annotations

import io
import os

import pytest

from layerfs.tarstream import CHUNK, TarReader

from .handmade import END, member, pax, read


class Trickle:
    """A source that gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._inner = io.BytesIO(data)
        self._step = step

    def read(self, n: int) -> bytes:
        return self._inner.read(min(n, self._step))


@pytest.mark.parametrize("step", [1, 511, 513, 10_000])
def test_sources_may_read_short(step):
    archive = pax((b"mtime", b"1.5")) + member(b"a", b"data" * 500) + member(b"b") + END
    pieces = [(one, r.read()) for r in [TarReader(Trickle(archive, step))] for one in r]
    assert pieces == read(archive)


def test_data_are_read_in_any_pieces_and_skipped_when_left():
    data = os.urandom(3 * CHUNK)
    reader = TarReader(
        io.BytesIO(member(b"a", data) + member(b"b", data) + member(b"c", b"c") + END)
    )
    assert next(reader).name == b"a"
    assert reader.read(10) == data[:10]
    assert reader.remaining == len(data) - 10
    assert b"".join(reader.chunks(CHUNK)) == data[10 : CHUNK + 10]
    sink = io.BytesIO()
    assert reader.copy(sink.write) == len(data) - CHUNK - 10
    assert sink.getvalue() == data[CHUNK + 10 :]
    assert (reader.read(), reader.read(5), reader.remaining) == (b"", b"", 0)
    assert next(reader).name == b"b"
    assert reader.read(1) == data[:1]
    assert next(reader).name == b"c"
    assert reader.read(100) == b"c"
    assert list(reader) == []
    assert reader.offset == 512 * 3 + 2 * len(data) + 512 + 1024


def test_an_iteration_that_has_ended_stays_so():
    reader = TarReader(io.BytesIO(member() + END))
    assert len(list(reader)) == 1
    assert list(reader) == []
