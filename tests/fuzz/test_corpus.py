"""The corpus, and whether the properties would notice a reader that is broken."""

from __future__ import annotations

import pytest

from layerfs import decoders, tarblocks, tarfields, tarstream

from .archives import LIMITS, Source, check, forever, outcome
from .mutation import bytewise, mended, mutated, record
from .seeds import inputs
from .targets import LONGEST, TARGETS, Target

FILES = [
    pytest.param(target, path, id=f"{target.name}-{path.name}")
    for target in TARGETS.values()
    for path in sorted(target.corpus.iterdir())
]


@pytest.mark.parametrize(("target", "path"), FILES)
def test_every_input_of_the_corpus_keeps_the_promises(target: Target, path):
    target.check(path.read_bytes())


def test_the_corpus_is_small():
    sizes = [path.stat().st_size for target in TARGETS.values() for path in target.corpus.iterdir()]
    assert max(sizes) <= LONGEST
    assert len(sizes) <= 200
    assert sum(sizes) <= 300 << 10


def test_the_first_inputs_are_whole_archives():
    """Else mutations would only ever meet the first check that a header fails."""
    for target, name, data in inputs():
        if target == "archive":
            found = outcome(Source(data, forever(1 << 20)), LIMITS)
            assert (found.error, bool(found.members)) == (None, True), name


def test_mutations_are_repeatable_and_reach_beyond_the_checksum():
    whole = next(data for target, name, data in inputs() if (target, name) == ("archive", "pax"))
    drawn = [mutated(whole, 8192, seed, lambda data, _size: data) for seed in range(200)]
    assert drawn == [mutated(whole, 8192, seed, lambda data, _size: data) for seed in range(200)]
    found = [outcome(Source(one, forever(1 << 20)), LIMITS) for one in drawn]
    accepted = {repr(one.members) for one in found if one.error is None}
    assert len(accepted) > 20
    assert len({(one.error, len(one.members)) for one in found}) > 10


def test_mending_makes_every_checksum_right():
    whole = next(data for target, name, data in inputs() if (target, name) == ("archive", "gnu"))
    spoilt = whole[:100] + b"0000700\0" + whole[108:]
    with pytest.raises(tarfields.Damage):
        tarfields.check_sum(spoilt[:512], spoilt[148:156])
    tarfields.check_sum(mended(spoilt)[:512], mended(spoilt)[148:156])
    assert bytewise.__doc__


@pytest.mark.parametrize("length", [1, 5, 6, 7, 93, 94, 95, 996, 9995])
def test_a_record_counts_itself(length):
    made = record(b"k", b"v" * length)
    assert int(made.split(b" ")[0]) == len(made)


# --- a broken reader is found out ----------------------------------------------------------------


def broken(target: str) -> bool:
    """Whether any input of the corpus shows that a promise is broken."""
    for path in TARGETS[target].corpus.iterdir():
        try:
            TARGETS[target].check(path.read_bytes())
        except Exception:  # noqa: BLE001 - whatever escapes is what a fuzzer looks for
            return True
    return False


def test_the_reader_as_it_is_breaks_no_promise():
    assert [name for name in TARGETS if broken(name)] == []


def test_names_that_lead_out_are_noticed(monkeypatch):
    monkeypatch.setattr(tarstream, "clean_name", lambda raw: b"../" + raw)
    assert broken("archive")


def test_an_error_that_is_not_ours_is_noticed(monkeypatch):
    monkeypatch.setattr(tarstream.paxrecords, "split", lambda data: {}[data])
    assert broken("archive")


def test_data_lost_between_two_pieces_are_noticed(monkeypatch):
    chunks = tarblocks.BlockStream.chunks
    monkeypatch.setattr(
        tarblocks.BlockStream, "chunks", lambda self, n=-1: list(chunks(self, n))[:1]
    )
    with pytest.raises(AssertionError):
        check(next(data for _, name, data in inputs() if name == "sparse-many"))


def test_a_reader_that_stops_at_the_first_zeros_is_noticed(monkeypatch):
    monkeypatch.setattr(tarstream.TarReader, "_end", lambda _self, _extensions: None)
    assert broken("archive")


def test_a_decoder_that_forgets_what_follows_is_noticed(monkeypatch):
    plain = decoders.decode
    monkeypatch.setattr(decoders, "decode", lambda kind, pull: plain(kind, lambda: pull()[:20]))
    assert broken("gzip")
