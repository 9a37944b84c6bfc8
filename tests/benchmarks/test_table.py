import io

import pytest
from rich.console import Console

from benchmarks import table
from benchmarks.bars import Row


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.00123, "s", "1.23 ms"),
        (0.1234, "s", "123 ms"),
        (12.345, "s", "12.35 s"),
        (57.12, "MiB", "57.1 MiB"),
    ],
)
def test_figures_have_units_that_a_reader_grasps(value, unit, shown):
    assert table.figure(value, unit) == shown


def test_the_verdict_names_each_bar_that_does_not_hold():
    rows = [Row("apply", 2, "tar", 1, 1.0), Row("stack", 1, "ctr", 2, 1.0), Row("add", 9, "x", 1)]
    assert table.verdict(rows) == "1 of 2 bars do not hold: apply against tar"
    assert table.verdict(rows[1:]) == "all 1 bars hold"
    assert table.verdict(rows[2:]) == "no bar was measured"


def test_the_table_shows_each_row_with_its_ratio_and_what_came_of_it():
    out = io.StringIO()
    rows = [Row("apply [x]", 2, "tar", 1, 1.0), Row("stack", 1, "ctr", 2, 1.0, below=True)]
    table.show(Console(file=out, width=120), rows)
    lines = out.getvalue().splitlines()
    (first,) = (line for line in lines if "apply [x]" in line and "tar" in line and "met" in line)
    (second,) = (line for line in lines if "ctr" in line)
    assert "2.00" in first
    assert "≤ 1.00" in first
    assert "not met" in first
    assert "0.50" in second
    assert "< 1.00" in second
    assert "✓ met" in second
