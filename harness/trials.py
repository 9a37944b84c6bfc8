"""Tries one subject after another in one pytest session, in a process of its own.

What is dear is done once for many mutants: pytest starts, the cases are collected, and a target is
made. Each mutant gets a session of its own, and the target of the one before it only when that one
has left nothing there. Of each clause the cases are run one by one until the first that kills.

:class:`Trial` is the asking side. The process ends when the asking side closes the pipe, or dies.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Self

import pytest

from harness import carried, runner
from harness.activation import Settings
from harness.clause import Clause
from harness.config import PROFILES, SubjectConfig
from harness.errors import HarnessError, SubjectCrashed
from harness.judge import Judge, clause_of
from harness.plugin import JUDGE
from harness.results import CaseResult

_KILLS: Final = frozenset({"failed", "leaked"})
_CRASH: Final = SubjectCrashed.__name__


class TrialError(HarnessError):
    """The process in which subjects are tried has ended; another has to be started."""


def kills(case: CaseResult, *, crashes: bool) -> bool:
    """Say whether a case has killed the mutant that it was put to.

    ``crashes``: the mutant is meant to. Otherwise crashes kill nobody: one that has rotted does so.
    """
    return case.verdict in _KILLS and (crashes or case.failure != _CRASH)


@dataclass(frozen=True, slots=True)
class Scene:
    """Which mutants may be tried, where, and the files of the suite that have their cases."""

    mutants: Sequence[SubjectConfig]
    target: str
    image: Path | None
    suite: Path
    modules: Sequence[Path]

    @property
    def clauses(self) -> set[str]:
        """The clauses that they claim to be caught by."""
        return {clause for one in self.mutants if one.mutant for clause in one.mutant.catches}


class Trial:
    """A process that tries subjects, one at a time. Close it when there are no more."""

    def __init__(self, scene: Scene) -> None:
        # Not a fork: the process that asks has threads, and is itself in the middle of something.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, scene), name="trial")
        self._process.start()
        theirs.close()

    def of(self, mutant: SubjectConfig) -> list[CaseResult]:
        """Run the cases that claim to catch the mutant, and return those that were run.

        Raises TrialError; this object is then of no more use, and still has to be closed.
        """
        try:
            self._pipe.send(mutant)
            results: list[CaseResult] = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            status = self._process.exitcode
            raise TrialError(f"its judge ended too early, with exit status {status}") from None
        return results

    def close(self) -> None:
        """Let the process take its target away, and wait for its end."""
        self._pipe.close()
        self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _serve(pipe: Connection, scene: Scene) -> None:
    # Ctrl-C is for the process that asks: it lets the case at hand end, and then asks no more. Not
    # SIG_IGN, which the subjects would inherit (signal(7)).
    signal.signal(signal.SIGINT, lambda *_: None)
    words = [*runner.arguments(scene.suite, scene.modules), "-p", "no:terminal"]
    runner.pytest_main(words, [_Session(pipe, scene)])


class _Session:
    """The plugin that makes pytest ask for mutants in place of running all its cases once."""

    def __init__(self, pipe: Connection, scene: Scene) -> None:
        self._pipe = pipe
        self._judge = Judge(
            Settings(
                word="",
                subject=scene.mutants[0],
                target=scene.target,
                profiles=PROFILES,
                demanded=(),
                cases=frozenset(scene.clauses),
                keyword="",
                image=scene.image,
                output=Path(),
                mode="session",
                evidence="none",
            )
        )
        self._cases: dict[Clause, list[pytest.Item]] = defaultdict(list)
        self._result: CaseResult | None = None

    def pytest_configure(self, config: pytest.Config) -> None:
        config.pluginmanager.register(self._judge, JUDGE)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed:
            return None  # pytest says what could not be collected
        for item in session.items:
            if clause := clause_of(item):
                self._cases[clause].append(item)
        with contextlib.suppress(EOFError, ConnectionError):  # nobody asks any more
            while True:
                self._pipe.send(self._try(self._pipe.recv()))
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if hasattr(report, carried.CASE):
            self._result = CaseResult.model_validate(getattr(report, carried.CASE))

    def _try(self, subject: SubjectConfig) -> list[CaseResult]:
        assert subject.mutant is not None
        self._judge.turn_to(subject)
        found: list[CaseResult] = []
        for clause, items in self._cases.items():
            if clause.id not in subject.mutant.catches or clause.profile not in subject.profiles:
                continue
            for item in items:
                found.append(self._run(item))
                if kills(found[-1], crashes=subject.mutant.crashes):
                    break
        return found

    def _run(self, item: pytest.Item) -> CaseResult:
        # The next item is unknown, so that whatever fixtures were made are taken away at once.
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        result, self._result = self._result, None
        assert result is not None  # the judge's report of a tear-down always has one
        return result
