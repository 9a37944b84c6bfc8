"""Gathers the cases' results where the run is reported, and writes what is kept of it.

With xdist that is the controller, which runs no case itself; without, the only process. Writes
``results.json`` and ``index.html`` (``junit.xml`` is pytest's own), and makes pytest's exit status
say whether the subject is conformant.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any, Final

import pytest

from harness import carried, suite
from harness import report as report_page
from harness.activation import Settings
from harness.results import (
    CaseResult,
    Results,
    Selection,
    SubjectInfo,
    TargetInfo,
    conformance,
    steps_of,
    summarise,
    write,
)
from harness.wording import ORDER, SYMBOLS, first_line, outcome, word

#: What xdist puts for the phase of a case during which a worker died.
_WORKER_DIED: Final = "???"


class Aggregate:
    """The results of a run, as they come in; ``results`` when it has ended."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._begun: dict[str, dict[str, Any]] = {}
        self._cases: list[CaseResult] = []
        self._run: dict[str, Any] = {}
        self._steps: dict[str, list[float]] = {}
        self._errors: list[str] = []
        self._started = dt.datetime.now(dt.UTC)
        self._clock = time.monotonic()
        self.results: Results | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what the report of a case carries."""
        self._run = self._run or getattr(report, carried.RUN, {})
        for name, seconds in getattr(report, carried.STEPS, ()):
            self._steps.setdefault(name, []).append(seconds)
        if hasattr(report, carried.BEGUN):
            self._begun[report.nodeid] = getattr(report, carried.BEGUN)
        if hasattr(report, carried.CASE):
            self._begun.pop(report.nodeid, None)
            self._cases.append(CaseResult.model_validate(getattr(report, carried.CASE)))
        elif str(report.when) == _WORKER_DIED:
            self._died(report)

    def _died(self, report: pytest.TestReport) -> None:
        begun = self._begun.pop(report.nodeid, None)
        if begun is None:
            self._errors.append(f"{report.nodeid}: {report.longreprtext}")
            return
        died = {"verdict": "harness_error", "duration_s": 0.0, "message": str(report.longrepr)}
        self._cases.append(CaseResult.model_validate(begun | died))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember what could not be collected: nobody was asked that."""
        if report.failed:
            # The last line of a traceback is what went wrong; all of it is in pytest's own report.
            what = report.longreprtext.strip().splitlines()[-1].removeprefix("E").strip()
            text = f"not collected: {report.nodeid}: {what}"
            if text not in self._errors:
                self._errors.append(text)

    def pytest_internalerror(self, excrepr: object) -> None:
        """Remember that pytest itself, or a plugin, went wrong."""
        self._errors.append(f"internal error: {excrepr}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Judge the run and write the reports."""
        if session.config.getoption("collectonly"):
            return
        self.results = results = self._results(exitstatus)
        output = self._settings.output
        write(results, output / "results.json")
        report_page.write([(results, output)], output)
        if not results.conformant and exitstatus in {
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        }:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _results(self, exitstatus: int) -> Results:
        settings = self._settings
        cases = sorted(self._cases, key=lambda case: (case.area, case.id))
        selection = Selection(
            profiles=settings.profiles,
            keyword=settings.keyword,
            cases=tuple(sorted(settings.cases)),
        )
        interrupted = exitstatus in {pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR}
        conformant, remarks = conformance(
            cases, selection, demanded=settings.demanded, complete=not interrupted
        )
        known = {case.id for case in cases} | {case.clause for case in cases}
        missing = sorted(settings.cases - known)
        remarks += tuple(f"not conformant: no case {name} was run" for name in missing)
        remarks += tuple(f"not conformant: {error}" for error in self._errors)
        complete = not (interrupted or self._errors)
        return Results(
            suite_digest=suite.digest(),
            environment=suite.environment(),
            command=settings.command(),
            subject=SubjectInfo(
                name=settings.subject.name,
                version=self._run.get("version", ""),
                capabilities=tuple(sorted(settings.subject.capabilities)),
                profiles=tuple(settings.subject.profiles),
                description=settings.subject.description,
            ),
            target=_target(settings.target, self._run.get("target", {})),
            selection=selection,
            started=self._started.isoformat(timespec="seconds"),
            duration_s=round(time.monotonic() - self._clock, 3),
            complete=complete,
            conformant=conformant and complete and not missing,
            remarks=remarks,
            steps=tuple(steps_of(self._steps)),
            summary=summarise(cases),
            cases=tuple(cases),
        )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say the outcome below pytest's own."""
        if self.results is None:
            return
        results = self.results
        counts = results.summary.model_dump()
        terminalreporter.section("conformance")
        said = ", ".join(
            f"{SYMBOLS[verdict]} {counts[verdict]} {word(verdict)}"
            for verdict in ORDER
            if counts[verdict]
        )
        terminalreporter.line(said or "no case was run")
        for remark in results.remarks:
            terminalreporter.line(first_line(remark))
        terminalreporter.line(outcome(results))
        terminalreporter.line(f"report: {self._settings.output / 'index.html'}")


def _target(name: str, facts: dict[str, Any]) -> TargetInfo:
    privileges = sorted(fact for fact, value in facts.items() if value is True)
    return TargetInfo.model_validate({**facts, "name": name, "privileges": privileges})
