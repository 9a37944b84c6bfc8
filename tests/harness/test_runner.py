import itertools
from pathlib import Path

from harness import runner
from harness.config import CONFORMANCE


def words(**fields):
    return runner.run_arguments(runner.Request(subject="x", output=Path("/out"), **fields))


def pairs(given):
    return set(itertools.pairwise(given))


def test_a_run_depends_on_no_project_that_we_stand_in():
    given = words()
    assert given[0] == str(CONFORMANCE)
    assert {("-c", str(runner.INI)), ("--rootdir", str(CONFORMANCE.parent))} <= pairs(given)


def test_what_was_asked_for_is_handed_on():
    given = words(
        profiles=["core", "hostile"],
        cases=["WHT-004[a b]"],
        keyword="a or b",
        image=Path("/image"),
        workers=3,
        mode="call",
        keep_evidence=True,
    )
    assert {
        ("--subject", "x"),
        ("--output", "/out"),
        ("--target", "local"),
        ("--profile", "core"),
        ("--profile", "hostile"),
        ("--case", "WHT-004[a b]"),
        ("-k", "a or b"),
        ("--image", "/image"),
        ("-n", "3"),
        ("--suite-mode", "call"),
    } <= pairs(given)
    assert "--keep-evidence" in given


def test_without_workers_there_is_one_process():
    assert "-n" not in words()


def test_no_other_plugin_and_no_option_of_the_environment_takes_part(monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "--maxfail=1")
    environment = runner.environment()
    assert environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] == "1"
    assert environment["PYTEST_ADDOPTS"] == ""
