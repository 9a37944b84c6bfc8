from __future__ import annotations

from dataclasses import replace

import pytest

from harness.zfsledger import Entry, Pool, ZfsLedger, difference

POOL = Pool("p", "1", "ONLINE")
FS = Entry("filesystem", "2")
EMPTY = ZfsLedger()
ONE = ZfsLedger(pools=frozenset({POOL}), entries={"p": FS, "p/a": Entry("filesystem", "3")})


def changed(**fields):
    return difference(ONE, replace(ONE, **fields))


def plus(**entries):
    return {**ONE.entries, **{name.replace("_", "/"): entry for name, entry in entries.items()}}


def test_a_host_without_pools_has_an_empty_ledger():
    assert ZfsLedger.parse(None) == EMPTY
    assert difference(EMPTY, EMPTY) == difference(ONE, ONE) == []


def test_what_the_observer_tells_is_parsed():
    told = {
        "pools": [["p", "1", "ONLINE"]],
        "entries": [["p", "filesystem", "2", "-"], ["p@s", "snapshot", "4", "-"]],
        "holds": [["p@s", "tag"]],
        "properties": [["p", "quota", "1"], ["p", "a:b", "x"]],
    }
    assert ZfsLedger.parse(told) == ZfsLedger(
        pools=frozenset({POOL}),
        entries={"p": FS, "p@s": Entry("snapshot", "4")},
        holds=frozenset({("p@s", "tag")}),
        properties={"p": {"quota": "1", "a:b": "x"}},
    )


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"pools": frozenset({POOL, Pool("tank", "9", "")})}, "left: pool tank"),
        ({"pools": frozenset()}, "gone: pool p (ONLINE)"),
        (
            {"pools": frozenset({replace(POOL, health="DEGRADED")})},
            "changed: pool p was ONLINE and is DEGRADED",
        ),
        ({"entries": plus(p_b=FS)}, "left: dataset p/b"),
        (
            {"entries": plus(p_b=Entry("filesystem", "5", "p/a@s"))},
            "left: dataset p/b (clone of p/a@s)",
        ),
        ({"entries": plus(p_v=Entry("volume", "5"))}, "left: volume p/v"),
        ({"entries": {"p": FS}}, "gone: dataset p/a"),
        ({"entries": {**ONE.entries, "p/a@s": Entry("snapshot", "6")}}, "left: snapshot p/a@s"),
        ({"entries": {**ONE.entries, "p/a#b": Entry("bookmark", "6")}}, "left: bookmark p/a#b"),
        (
            {"entries": plus(p_a=Entry("filesystem", "7"))},
            "changed: p/a is another filesystem than before",
        ),
        (
            {"entries": plus(p_a=Entry("filesystem", "3", "p@s"))},
            "changed: the origin of p/a was - and is p@s",
        ),
        (
            {"properties": {"p/a": {"quota": "1"}}},
            "changed: property quota of p/a: not set before, '1' now",
        ),
    ],
)
def test_each_change_is_one_line(fields, line):
    assert changed(**fields) == [line]


def test_what_is_left_is_told_by_its_top():
    below = {
        "p/a/x": FS, "p/a/x/y": FS, "p/a/x@s": Entry("snapshot", "5"), "p/a/x-1": FS,
        "p/a/x#b": Entry("bookmark", "6"),
    }  # fmt: skip
    assert changed(entries={**ONE.entries, **below}) == [
        "left: dataset p/a/x with 3 below it",
        "left: dataset p/a/x-1",
    ]


def test_a_hold_is_told_where_its_snapshot_is_not():
    snapshot = {**ONE.entries, "p/a@s": Entry("snapshot", "5")}
    held = replace(ONE, entries=snapshot, holds=frozenset({("p/a@s", "tag")}))
    loose = replace(ONE, entries=snapshot)
    assert difference(loose, held) == ["left: hold 'tag' on p/a@s"]
    assert difference(held, loose) == ["gone: hold 'tag' on p/a@s"]
    assert difference(ONE, held) == ["left: snapshot p/a@s"]


def test_properties_are_compared_where_the_dataset_is_in_both():
    before = replace(ONE, properties={"p": {"a:b": "x\n"}, "p/a": {"atime": "off"}})
    after = replace(
        before,
        entries={"p": FS, "p/new": FS},
        properties={"p": {"a:b": "y", "quota": "5"}, "p/new": {"atime": "off"}},
    )
    assert difference(before, after) == [
        "left: dataset p/new",
        "gone: dataset p/a",
        "changed: property a:b of p: 'x\\n' before, 'y' now",
        "changed: property quota of p: not set before, '5' now",
    ]
