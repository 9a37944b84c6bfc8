"""Helper processes: what they inherit, what they may start themselves, and who is interrupted."""

import json
import os
import sys
from pathlib import Path

import pytest

from layerfs import command

ROOT = Path(__file__).resolve().parents[2]

MODULE = """
import json, os, sys
from layerfs import command
def main(arguments):
    facts = {
        "arguments": arguments,
        "group": os.getpgrp() == os.getpid(),
        "fds": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "site": "site" in sys.modules,
        "possible": command.are_possible(),
        "stdin": sys.stdin.read(),
    }
    print(json.dumps(facts))
"""


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Start a helper that tells about itself."""
    # A module of layerfs, as all helpers are: of a copy that has one more.
    package = tmp_path / "layerfs"
    package.mkdir()
    for path in (ROOT / "layerfs").glob("*.py"):
        (package / path.name).symlink_to(path)
    (package / "asked.py").write_text(MODULE)
    copy = package / "command.py"
    copy.unlink()
    copy.write_text((ROOT / "layerfs" / "command.py").read_text())
    monkeypatch.setattr(command, "__file__", str(copy))

    def ask(*arguments, **how):
        process = command.start("layerfs.asked", arguments, stdout=command.PIPE, **how)
        with process.stdout:
            told = json.loads(process.stdout.read())
        assert process.wait() == 0
        return told

    return ask


def test_a_helper_gets_its_arguments_and_nothing_else(asked):
    secret = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        told = asked("one", "two words", "")
    finally:
        os.close(secret)
    assert told["arguments"] == ["one", "two words", ""]
    assert told["stdin"] == ""
    assert secret not in told["fds"]
    assert not told["site"]


def test_a_descriptor_that_is_given_is_there(asked):
    given = os.open("/dev/null", os.O_RDONLY)
    try:
        assert given in asked(inherited=[given])["fds"]
    finally:
        os.close(given)


def test_ctrl_c_is_not_for_the_helper(asked):
    assert asked()["group"]


def test_only_a_helper_that_is_not_alone_has_helpers(asked):
    several = len(os.sched_getaffinity(0)) > 1  # which a helper inherits
    assert not asked()["possible"]
    assert asked(alone=False)["possible"] == several


@pytest.mark.parametrize("processors", [{0}, {0, 1}])
def test_helpers_need_a_second_processor(monkeypatch, processors):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: processors)
    assert command.are_possible() == (len(processors) > 1)


def test_helpers_need_python_to_be_a_program(monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    assert not command.are_possible()
