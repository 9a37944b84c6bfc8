import pytest

from harness.errors import (
    RemoteError,
    SubjectBrokePromise,
    SubjectCrashed,
    SubjectTimeout,
    Unsupported,
)
from harness.verdict import BAD, EXECUTED, VERDICTS, decide

LEAK = ["left: mount of overlay on /w/m", "left: process 12 (sleep)"]


def skip(reason):
    return pytest.skip.Exception(reason)


def test_nothing_raised_and_nothing_left_is_a_pass():
    assert decide([]).verdict == "passed"


@pytest.mark.parametrize(
    ("raised", "verdict"),
    [
        ([("call", AssertionError("no"))], "failed"),
        ([("call", SubjectCrashed("add: died", verb="add"))], "failed"),
        ([("call", SubjectTimeout("add: late", verb="add"))], "failed"),
        ([("call", SubjectBrokePromise("merge: 11", verb="merge"))], "failed"),
        ([("call", KeyError("layer"))], "failed"),
        ([("setup", SubjectCrashed("open: died", verb="open"))], "failed"),
        ([("teardown", SubjectCrashed("close: died", verb="close"))], "failed"),
        ([("setup", skip("target: no devices"))], "unsupported"),
        ([("call", Unsupported("merge: 11", verb="merge"))], "unsupported"),
        ([("call", RemoteError("the target has gone"))], "harness_error"),
        ([("setup", KeyError("fixture"))], "harness_error"),
        ([("teardown", KeyError("fixture"))], "harness_error"),
        ([("call", pytest.fail.Exception("Timeout (>600.0s) from pytest-timeout."))],
         "harness_error"),
        ([("call", pytest.fail.Exception("DID NOT RAISE"))], "failed"),
    ],
)  # fmt: skip
def test_what_was_raised_decides(raised, verdict):
    assert decide(raised).verdict == verdict


def test_a_leak_is_a_verdict_of_its_own_and_lists_what_was_left():
    judgement = decide([], LEAK)
    assert judgement.verdict == "leaked"
    assert judgement.message.splitlines() == [
        "after the case, left: mount of overlay on /w/m",
        "left: process 12 (sleep)",
    ]


def test_a_case_that_fails_and_leaks_has_failed_and_tells_both():
    judgement = decide([("call", AssertionError("trees differ"))], LEAK)
    assert judgement.verdict == "failed"
    assert "trees differ" in judgement.message
    assert "process 12 (sleep)" in judgement.message


def test_a_harness_error_after_a_failure_says_nothing_of_the_subject():
    raised = [("call", AssertionError("x")), ("teardown", RemoteError("the target has gone"))]
    assert decide(raised).verdict == "harness_error"


def test_a_case_that_was_not_asked_and_still_leaks_has_leaked():
    assert decide([("call", skip("no"))], LEAK).verdict == "leaked"


@pytest.mark.parametrize(
    ("raised", "leaks", "verdict"),
    [
        ([("call", AssertionError("no"))], [], "expected_failure"),
        ([], LEAK, "expected_failure"),
        ([], [], "unexpected_pass"),
        ([("setup", skip("no"))], [], "unsupported"),
        ([("call", RemoteError("gone"))], [], "harness_error"),
    ],
)
def test_an_expected_failure_excuses_the_subject_and_never_the_harness(raised, leaks, verdict):
    assert decide(raised, leaks, "known: xattrs").verdict == verdict


def test_the_reason_of_an_expected_failure_is_told_with_what_happened():
    judgement = decide([("call", AssertionError("size 1 != 2"))], expected="known: sparse files")
    assert judgement.message == "known: sparse files\nsize 1 != 2"


@pytest.mark.parametrize(
    ("raised", "leaks", "suspect"),
    [
        ([], [], False),
        ([("call", AssertionError("no"))], [], False),
        ([("setup", skip("no"))], [], False),
        ([], LEAK, True),
        ([("call", AssertionError("no"))], LEAK, True),
        ([("call", SubjectCrashed("died", verb="add"))], [], True),
        ([("call", SubjectTimeout("late", verb="add"))], [], True),
        ([("call", RemoteError("gone"))], [], True),
    ],
)
def test_the_target_is_suspect_after_whatever_may_have_left_it_in_disorder(raised, leaks, suspect):
    assert decide(raised, leaks).suspect is suspect


def test_several_failures_at_once_are_judged_one_by_one():
    several = ExceptionGroup("two", [AssertionError("first"), SubjectCrashed("died", verb="add")])
    judgement = decide([("call", several)])
    assert (judgement.verdict, judgement.suspect) == ("failed", True)
    assert judgement.message == "first\ndied"


def test_the_class_of_what_decided_is_kept():
    assert decide([("call", SubjectCrashed("died", verb="add"))]).failure == "SubjectCrashed"


def test_every_verdict_is_well_bad_or_says_nothing():
    assert set(VERDICTS) - BAD == {"passed", "expected_failure", "unsupported"}
    assert set(VERDICTS) - EXECUTED == {"unsupported", "harness_error"}
