import json

import pytest

from benchmarks.bars import Row, limit, missed, write_json

KEYS = ["name", "ours_s", "other", "other_s", "ratio", "bar", "met"]


@pytest.mark.parametrize(
    ("ours", "bar", "below", "met"),
    [
        (0.9, 0.9, False, True),
        (0.91, 0.9, False, False),
        (0.9, 0.9, True, False),
        (0.89, 0.9, True, True),
        (5.0, None, False, None),
    ],
)
def test_a_bar_holds_at_most_or_only_below_it(ours, bar, below, met):
    row = Row("apply", ours, "tar", 1.0, bar, below)
    assert row.met is met
    assert row.ratio == pytest.approx(ours)


def test_the_ratio_is_ours_to_theirs():
    assert Row("apply", 1.0, "tar", 4.0).ratio == 0.25


def test_a_fixed_limit_must_not_be_reached_and_names_itself():
    assert limit("memory", 100.0, 100, unit="MiB").met is False
    assert limit("memory", 99.9, 100, unit="MiB").met is True
    assert limit("memory", 1.0, 100, unit="MiB").other == "100 MiB"
    assert limit("open", 0.05, 0.1).other == "100 ms"


def test_only_bars_that_do_not_hold_are_missed():
    rows = [Row("a", 2, "x", 1), Row("b", 2, "x", 1, 1.0), Row("c", 1, "x", 2, 1.0)]
    assert [row.name for row in missed(rows)] == ["b"]


def test_the_json_is_a_list_of_exactly_these_keys(tmp_path):
    rows = [Row("a", 2.0, "tar", 1.0, 1.5), Row("b", 1, "x", 3)]
    write_json(rows, tmp_path / "new" / "bench.json")
    found = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert [list(one) for one in found] == [KEYS, KEYS]
    assert found[0] == {
        "name": "a",
        "ours_s": 2.0,
        "other": "tar",
        "other_s": 1.0,
        "ratio": 2.0,
        "bar": 1.5,
        "met": False,
    }
    assert found[1]["bar"] is None
    assert found[1]["met"] is None


def test_a_run_without_rows_is_an_empty_list(tmp_path):
    write_json([], tmp_path / "bench.json")
    assert json.loads((tmp_path / "bench.json").read_text()) == []
