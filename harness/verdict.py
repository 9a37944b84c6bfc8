"""From what happened in a case to its verdict: a pure function over exceptions and leaks.

| verdict | when |
|---|---|
| ``passed`` | nothing was raised, and the ledger is as it was |
| ``failed`` | the subject did other than required, crashed, or hung |
| ``leaked`` | all was well but for what remained on the host |
| ``expected_failure`` | failed or leaked, and subject.toml says so beforehand |
| ``unexpected_pass`` | passed, though subject.toml expects a failure: a stale entry |
| ``unsupported`` | the subject does not declare a capability, or the target cannot do it |
| ``harness_error`` | the harness, its transport or the case's own setting up failed |

A harness error is never excused by an expected failure, since it says nothing of the subject.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import pytest

from harness.errors import (
    HarnessError,
    SubjectCrashed,
    SubjectFailure,
    SubjectTimeout,
    Unsupported,
)

Verdict = Literal[
    "passed",
    "failed",
    "expected_failure",
    "unexpected_pass",
    "unsupported",
    "leaked",
    "harness_error",
]
VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)
#: With one of these a subject is not conformant.
BAD: Final[frozenset[Verdict]] = frozenset({"failed", "leaked", "unexpected_pass", "harness_error"})
#: With one of these the subject was really put to the question.
EXECUTED: Final[frozenset[Verdict]] = frozenset(
    {"passed", "failed", "leaked", "expected_failure", "unexpected_pass"}
)

Phase = Literal["setup", "call", "teardown"]

#: How pytest-timeout words its failure; it has no exception class of its own.
_TIMEOUT: Final = "Timeout ("


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and why.

    ``failure`` is the class of what was raised and decided, such as ``AssertionError`` or
    ``SubjectCrashed``; ``suspect`` says that the target may be in disorder and must go.
    """

    verdict: Verdict
    message: str = ""
    failure: str = ""
    suspect: bool = False


def decide(
    raised: Sequence[tuple[Phase, BaseException]],
    leaks: Sequence[str] = (),
    expected: str | None = None,
) -> Judgement:
    """Judge a case by what each phase raised, what it left behind, and what was expected.

    ``raised`` is in the order of the phases; ``leaks`` are lines of the ledger's difference;
    ``expected`` is the reason of an expected failure. The message is made of what was raised first
    with the deciding verdict; what leaked is added to it.
    """
    found = _without_expectation(raised, leaks)
    if expected is None:
        return found
    if found.verdict in {"failed", "leaked"}:
        return replace(found, verdict="expected_failure", message=f"{expected}\n{found.message}")
    if found.verdict == "passed":
        stale = "the subject no longer fails here: remove the entry from its expected_failures"
        return Judgement("unexpected_pass", f"{stale} ({expected})")
    return found


def _without_expectation(
    raised: Sequence[tuple[Phase, BaseException]], leaks: Sequence[str]
) -> Judgement:
    faults = [(phase, error) for phase, error in raised if not is_unsupported(error)]
    for phase, error in faults:
        if is_harness_error(phase, error):
            return Judgement("harness_error", describe(error), _class(error), suspect=True)
    leaked = "after the case, " + "\n".join(leaks) if leaks else ""
    if faults:
        message = "\n".join(filter(None, [describe(faults[0][1]), leaked]))
        suspect = bool(leaks) or any(_is_crash(error) for _, error in faults)
        return Judgement("failed", message, _class(faults[0][1]), suspect)
    if leaks:
        return Judgement("leaked", leaked, suspect=True)
    if raised:
        return Judgement("unsupported", describe(raised[0][1]))
    return Judgement("passed")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def is_unsupported(error: BaseException) -> bool:
    """Return whether ``error`` says that the question could not be put at all."""
    return isinstance(error, pytest.skip.Exception | Unsupported)


def is_harness_error(phase: Phase, error: BaseException) -> bool:
    """Return whether ``error``, raised in ``phase``, speaks of the harness, not of the subject."""
    for leaf in _leaves(error):
        if isinstance(leaf, pytest.fail.Exception) and str(leaf).startswith(_TIMEOUT):
            return True
        if isinstance(leaf, SubjectFailure | AssertionError | pytest.fail.Exception):
            continue
        # In its call a case may trip over a strange answer in any way; when fixtures do, it is us.
        if isinstance(leaf, HarnessError) or phase != "call":
            return True
    return False


def _class(error: BaseException) -> str:
    return type(next(_leaves(error))).__name__


def _is_crash(error: BaseException) -> bool:
    return any(isinstance(leaf, SubjectCrashed | SubjectTimeout) for leaf in _leaves(error))


def describe(error: BaseException) -> str:
    """Return what ``error`` says, without its traceback; with its class where that is needed."""
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(describe(leaf) for leaf in _leaves(error))
    text = str(error).strip()
    if isinstance(
        error, pytest.fail.Exception | pytest.skip.Exception | HarnessError | SubjectFailure
    ):
        return text or type(error).__name__
    if isinstance(error, AssertionError):
        # pytest puts "assert" before every explanation, ours of two trees among them.
        return text.replace("assert the trees", "the trees") or "assertion failed"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
