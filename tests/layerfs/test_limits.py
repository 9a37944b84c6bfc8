"""Limits: their values, and how they are written."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import pytest

from layerfs.errors import ValidationError
from layerfs.limits import Limits


def test_each_limit_tells_of_itself_and_allows_its_own_default():
    described = Limits().described()
    assert [name for name, *_ in described] == [one.name for one in dataclasses.fields(Limits)]
    for name, value, unit, about in described:
        assert value == getattr(Limits(), name)
        assert unit
        assert about


def test_values_are_whole_numbers_with_powers_of_1024():
    limits = Limits.parse(["max_members=10", "max_output_bytes=3G", "max_members=20"])
    assert limits == Limits(max_members=20, max_output_bytes=3 << 30)
    assert Limits.parse([]) == Limits()


@pytest.mark.parametrize(
    "text",
    [
        "max_members", "max_members=", "=5", "max_members=-1", "max_members=1.5", "max_members= 5",
        "max_members=5k", "max_members=\N{ARABIC-INDIC DIGIT FIVE}", "max_members=0x10",
        "max_members=" + "9" * 20,
    ],
)  # fmt: skip
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(ValidationError) as caught:
        Limits.parse([text])
    assert "\n" not in caught.value.message


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(ValidationError, match=r"no limit 'max_memebrs'; there are max_members, "):
        Limits.parse(["max_memebrs=5"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_members", 0), ("max_members", True), ("max_members", "5"), ("max_members", 5.0),
        ("max_members", 2**63), ("max_path_bytes", 4096), ("max_path_bytes", 255),
        ("max_xattr_name_bytes", 256), ("max_xattr_value_bytes", 65537), ("ratio_floor_bytes", -1),
    ],
)  # fmt: skip
def test_values_beyond_what_can_be_are_refused(name, value):
    with pytest.raises(ValidationError, match=f"limit {name}: {value!r} is not a whole number"):
        Limits.of({name: value})


def test_no_floor_at_all_may_be_asked_for():
    assert Limits(ratio_floor_bytes=0).ratio_floor_bytes == 0


def test_the_subject_declares_what_is_in_force():
    folder = Path(__file__).resolve().parents[2] / "conformance/subjects/layerfs"
    declared = tomllib.loads((folder / "subject.toml").read_text())["limits"]
    del declared["max_layers"]
    assert declared == {name: value for name, value, _, _ in Limits().described()}
