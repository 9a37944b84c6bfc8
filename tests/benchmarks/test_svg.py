from xml.etree import ElementTree as ET

import pytest

from benchmarks import svg
from benchmarks.bars import Row

NAME = "{http://www.w3.org/2000/svg}"


def drawn(*rows):
    """Return the parsed picture; a document that is not well-formed raises."""
    return ET.fromstring(svg.picture(rows, "title & <more>", ["one", "two"]))


def bars_of(root):
    return [one for one in root.iter(f"{NAME}rect") if one.get("rx")]


def test_the_picture_is_well_formed_and_has_a_bar_for_each_row():
    root = drawn(Row("a <b> & 'c'", 1, "x | y", 2, 1.0), Row("d", 1, "z", 1))
    assert root.tag == f"{NAME}svg"
    assert len(bars_of(root)) == 2
    texts = ["".join(one.itertext()) for one in root.iter(f"{NAME}text")]
    assert "a <b> & 'c'x | y" in texts
    assert "title & <more>" in texts


@pytest.mark.parametrize(("ours", "side"), [(0.89, -1), (0.91, 1)])
def test_a_bar_ends_before_the_mark_exactly_when_it_holds(ours, side):
    root = drawn(Row("a", ours, "x", 1, 0.9))
    (mark,) = root.iter(f"{NAME}line")
    (bar,) = bars_of(root)
    end = float(bar.get("x")) + float(bar.get("width"))
    assert (end - float(mark.get("x1"))) * side > 0


def test_a_bar_without_bounds_stays_in_the_picture():
    (bar,) = bars_of(drawn(Row("a", 1000, "x", 1, 0.1)))
    assert float(bar.get("x")) + float(bar.get("width")) < svg.WIDTH


def test_what_has_no_room_is_cut():
    assert svg.shortened("abcdef", 6) == "abcdef"
    assert svg.shortened("abcdefg", 6) == "abcde…"
