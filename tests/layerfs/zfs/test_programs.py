"""The channel programs as texts. That they run is a matter of the contract."""

import re

import pytest

from layerfs.zfs import programs

PROGRAMS = {name: text for name, text in vars(programs).items() if "argv" in str(text)[:200]}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_small_enough_for_the_history_and_has_no_nul(name):
    assert len(PROGRAMS[name]) < 2500
    assert "\0" not in PROGRAMS[name]


@pytest.mark.parametrize("name", ["REMOVE", "SET"])
def test_no_loop_of_lua_makes_the_changes(name):
    """It could be stopped in the middle; see the module's description."""
    changes = re.findall(r"zfs\.sync\.\w+.", PROGRAMS[name])
    assert changes
    assert all(one.endswith(")") for one in changes)  # given away as a function, not called
