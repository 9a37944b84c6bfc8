import itertools

import pytest

from harness.comparison import ComparisonError, compare
from harness.results import SubjectInfo, TargetInfo
from harness.verdict import VERDICTS

from .outcomes import case, results

WORKS = {"passed", "unexpected_pass"}
FAILS = {"failed", "leaked", "harness_error"}
QUIET = {"expected_failure", "unsupported"}


def kind(old, new):
    found = compare(results(case(verdict=old)), results(case(verdict=new)))
    assert found.same == (not found.changes)
    return found.changes[0].kind if found.changes else "same"


@pytest.mark.parametrize(("old", "new"), list(itertools.product(VERDICTS, repeat=2)))
def test_every_pair_of_verdicts_has_its_kind(old, new):
    if old == new:
        wanted = "same"
    elif new in WORKS:
        wanted = "changed" if old in WORKS else "better"
    elif old in WORKS or (new in FAILS and old in QUIET):
        wanted = "worse"
    else:
        wanted = "changed"
    assert kind(old, new) == wanted


def test_only_what_is_worse_is_a_regression():
    old = results(case("A-1"), case("A-2", "failed"), case("A-3"))
    new = results(case("A-1"), case("A-2"), case("A-4", "failed"))
    found = compare(old, new)
    assert [(one.kind, one.id) for one in found.changes] == [
        ("better", "A-2"), ("gone", "A-3"), ("new", "A-4"),
    ]  # fmt: skip
    assert not found.regressed
    assert compare(results(case("A-1")), results(case("A-1", "leaked"))).regressed


def test_what_a_target_could_not_run_was_not_asked():
    lacking = case(verdict="unsupported", message="target: local has no zfs")
    assert compare(results(case()), results(lacking)).changes[0].kind == "gone"
    assert compare(results(lacking), results(case())).changes[0].kind == "new"
    withdrawn = case(verdict="unsupported", message="the subject does not declare: gc")
    assert compare(results(case()), results(withdrawn)).regressed


def test_two_subjects_are_not_compared():
    other = results(case(), subject=SubjectInfo(name="other", version="1", capabilities=()))
    with pytest.raises(ComparisonError, match="two subjects: some and other"):
        compare(results(case()), other)


@pytest.mark.parametrize("which", ["OLD", "NEW"])
def test_an_interrupted_run_is_not_compared(which):
    whole, part = results(case()), results(case(), complete=False)
    with pytest.raises(ComparisonError, match=f"{which} was interrupted"):
        compare(*((part, whole) if which == "OLD" else (whole, part)))


def test_what_else_differs_is_said():
    other = results(
        case(), profiles=("core", "hostile"), suite_version="9", target=TargetInfo(name="ssh:x")
    )
    said = " / ".join(compare(results(case()), other).remarks)
    for words in ("suites differ", "hosts differ", "profiles differ"):
        assert words in said
    assert compare(results(case()), results(case())).remarks == ()


def test_machines_read_the_same():
    told = compare(results(case()), results(case(verdict="failed", message="so"))).to_json()
    assert told["regressed"] is True
    assert told["worse"] == [
        {
            "id": "WHT-001", "level": "MUST", "old": "passed", "new": "failed", "message": "so",
            "reproduce": "layerfs-conformance run --case WHT-001",
        }
    ]  # fmt: skip
    assert (told["better"], told["same"], told["subject"]) == ([], 0, "some")
