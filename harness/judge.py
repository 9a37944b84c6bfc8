"""Puts the cases to a subject: selects them, surrounds each with ledgers, and gives verdicts.

Registered in every process that runs cases. What it finds travels with pytest's reports, to the
process that gathers results: see :mod:`harness.carried`.
"""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest

from harness import carried
from harness.activation import Settings
from harness.bench import Bench
from harness.catalogue import Identity, gather, identify
from harness.clause import Clause
from harness.config import ExpectedFailure, SubjectConfig
from harness.errors import HarnessError
from harness.evidence import Evidence
from harness.observe import Host
from harness.remote import Remote
from harness.results import CaseResult
from harness.subject import Exchange, Subject
from harness.verdict import BAD, Judgement, Phase, decide, is_harness_error, is_unsupported

_SHOWN_CALLS: Final = 5


@dataclass(slots=True)
class Case:
    """One case on its way to a verdict."""

    id: str
    clause: Clause
    area: str
    known: ExpectedFailure | None
    evidence: Evidence
    uses_image: bool
    raised: list[tuple[Phase, BaseException]] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    subjects: list[Subject] = field(default_factory=list)
    started: float = 0.0
    target_s: float = 0.0  #: spent on making a target, which is no part of the case
    judged: bool = False

    @property
    def expected(self) -> str | None:
        """Why it is known to fail; None where it is not."""
        return None if self.known is None else self.known.reason

    def transcript(self) -> list[Exchange]:
        """Every call of the case's subjects, in order."""
        return [call for subject in self.subjects for call in subject.transcript]


_WHO: Final = pytest.StashKey[Identity]()
_CASE: Final = pytest.StashKey[Case]()


def clause_of(item: pytest.Item) -> Clause | None:
    """Return the clause that a collected case is of; None for a test that is of none."""
    who = item.stash.get(_WHO, None)
    return None if who is None else who.clause


class Judge:
    """The hooks and fixtures of a process that runs cases."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bench = Bench(settings.target, settings.subject, settings.mode)
        self._told = False
        self._clauses: set[Clause] = set()

    def turn_to(self, subject: SubjectConfig) -> None:
        """Judge another subject with the cases that were collected."""
        self._settings = replace(self._settings, subject=subject, word=str(subject.directory))
        self._bench.turn_to(subject)
        self._bench.wants_pool = self._wants_pool()

    # --- fixtures --------------------------------------------------------------------------------

    @pytest.fixture
    def remote(self) -> Remote:
        """Give the transport to the target."""
        return self._bench.remote

    @pytest.fixture
    def host(self) -> Host:
        """Give the target's observer."""
        return self._bench.host

    @pytest.fixture
    def raw_subject(self, request: pytest.FixtureRequest) -> Iterator[Subject]:
        """Give a subject of the case's own; its session serves until a case does not pass."""
        subject = self._bench.subject()
        case = request.node.stash.get(_CASE, None)
        if case is not None:
            case.subjects.append(subject)
        yield subject
        self._bench.give_back(subject)

    @pytest.fixture
    def image_layout(self) -> Path:
        """Give the OCI image layout named by ``--image``, a folder of this machine."""
        if self._settings.image is None:
            pytest.skip("target: no OCI image layout was given (--image)")
        return self._settings.image

    # --- selection -------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Give each case its id, and deselect what is not to be judged."""
        known = [(item, identify(item)) for item in items]
        gather(who for _, who in known if who is not None)  # refuses an id that is used twice
        kept: list[pytest.Item] = []
        dropped: list[pytest.Item] = []
        for item, who in known:
            if who is None:
                kept.append(item)
                continue
            item.stash[_WHO] = who
            item.extra_keyword_matches.add(who.id)
            (kept if self._selects(who) else dropped).append(item)
            if self._selects(who):
                self._clauses.add(who.clause)
        self._bench.wants_pool = self._wants_pool()
        if dropped:
            config.hook.pytest_deselected(items=dropped)
            items[:] = kept

    def _case_of(self, who: Identity, item: pytest.Item) -> Case:
        return Case(
            id=who.id,
            clause=who.clause,
            area=who.area,
            known=self._settings.subject.expected_failure(who.clause.id, who.id),
            evidence=Evidence(who.id),
            uses_image="image_layout" in item.fixturenames,  # type: ignore[attr-defined]
        )

    def _wants_pool(self) -> bool:
        """Whether any case that this subject will be asked has a use for a pool."""
        subject = self._settings.subject
        return any(
            clause.wants_pool
            and clause.profile in subject.profiles
            and subject.declares(*clause.needs)
            for clause in self._clauses
        )

    def _selects(self, who: Identity) -> bool:
        wanted = self._settings.cases
        return who.clause.profile in self._settings.profiles and (
            not wanted or who.id in wanted or who.clause.id in wanted
        )

    # --- one case --------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_timeout_set_timer(self, item: Any, settings: Any) -> bool:
        """Have a case that hangs ended, and its time-out told.

        By pytest-timeout's own means the message goes to a terminal that xdist's workers have not,
        so that the case fails for want of that.
        """

        def ended(*_: object) -> None:
            pytest.fail(f"the case did not end within {settings.timeout:g} s")

        def cancel() -> None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

        item.cancel_timeout = cancel
        signal.signal(signal.SIGALRM, ended)
        signal.setitimer(signal.ITIMER_REAL, settings.timeout)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Begin a case with nothing known of it: it may be run for one subject after another."""
        who = item.stash.get(_WHO, None)
        if who is not None:
            item.stash[_CASE] = self._case_of(who, item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """See that there is a target which can run the case, before any fixture is made."""
        case = item.stash.get(_CASE, None)
        if case is None:
            return
        case.started = time.monotonic()
        missing = sorted(set(case.clause.needs) - set(self._settings.subject.capabilities))
        if missing:
            pytest.skip(f"the subject does not declare: {', '.join(missing)}")
        self._bench.ready()
        case.target_s = time.monotonic() - case.started
        needs = [*case.clause.target_needs, *self._settings.subject.target_needs]
        unmet = self._bench.unmet(list(dict.fromkeys(needs)))
        if unmet:
            pytest.skip(f"target: {self._settings.target} has no {', '.join(unmet)}")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """When the last fixture has gone, compare the ledger."""
        try:
            return (yield)
        finally:
            case = item.stash.get(_CASE, None)
            if case is not None and self._bench.is_made:
                try:
                    case.leaks = self._bench.settle()
                except HarnessError as error:
                    case.raised.append(("teardown", error))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note what each phase raised; with the last one, judge."""
        report = yield
        case = item.stash.get(_CASE, None)
        if case is None:
            return report
        phase: Phase = report.when
        if call.excinfo is not None:
            self._note(case, phase, call.excinfo.value, report)
        if phase == "setup":
            # Should this process die, whoever gathers the results still knows in which case.
            setattr(report, carried.BEGUN, self._identity(case))
        if phase == "teardown":
            self._judge(case, report)
        _make_encodable(report)
        return report

    def _note(
        self, case: Case, phase: Phase, error: BaseException, report: pytest.TestReport
    ) -> None:
        case.raised.append((phase, error))
        if is_unsupported(error):
            report.outcome = "skipped"
            if not isinstance(report.longrepr, tuple):
                report.longrepr = (str(report.fspath), 0, f"Skipped: {error}")
            return
        if self._bench.is_made and self._settings.evidence != "none":
            case.evidence.look(self._bench.remote)
        case.evidence.failures.append(f"--- {phase} ---\n{report.longreprtext}")
        calls = case.transcript()[-_SHOWN_CALLS:]
        if calls:
            report.sections.append(("last calls of the subject", "\n".join(map(_shown, calls))))
        if case.expected is not None and not is_harness_error(phase, error):
            report.outcome = "skipped"
            report.wasxfail = case.expected

    def _judge(self, case: Case, report: pytest.TestReport) -> None:
        judgement = decide(case.raised, case.leaks, case.expected)
        calls = case.transcript()
        duration = time.monotonic() - case.started - case.target_s
        headline = f"{case.id}: {judgement.verdict}\n{case.clause.requirement}\n{judgement.message}"
        evidence: tuple[str, ...] = ()
        if self._keeps_evidence(judgement):
            if self._bench.is_made:
                case.evidence.look(self._bench.remote)
            evidence = case.evidence.write(
                self._settings.output,
                headline=headline,
                transcript=map(asdict, calls),
                leaks=case.leaks,
            )
        result = CaseResult(
            **self._identity(case),
            verdict=judgement.verdict,
            duration_s=round(duration, 4),
            message=judgement.message,
            failure=judgement.failure,
            overhead_s=round(max(0.0, duration - sum(call.duration for call in calls)), 4),
            evidence=evidence,
            **_known(case.known),
        )
        self._report(case, result, report)
        if judgement.verdict in BAD and self._settings.keep:
            self._bench.keep(f"{case.id} {judgement.verdict}")
        if judgement.verdict != "passed":
            self._bench.end_idle()
        if judgement.suspect:
            self._bench.discard()

    def _keeps_evidence(self, judgement: Judgement) -> bool:
        if self._settings.evidence == "bad":
            return judgement.verdict in BAD | {"expected_failure"}
        return self._settings.evidence == "all"

    def _identity(self, case: Case) -> dict[str, Any]:
        return {
            "id": case.id,
            "clause": case.clause.id,
            "level": case.clause.level,
            "profile": case.clause.profile,
            "area": case.area,
            "requirement": case.clause.requirement,
            "source": case.clause.source,
            "reproduce": self._reproduce(case),
        }

    def _report(self, case: Case, result: CaseResult, report: pytest.TestReport) -> None:
        """Make the tear-down report carry the result, and pytest's own outcome agree with it."""
        facts = ("case", "id"), ("clause", "clause"), ("level", "level"), ("verdict", "verdict")
        report.user_properties += [(name, getattr(result, attribute)) for name, attribute in facts]
        setattr(report, carried.CASE, result.model_dump(mode="json"))
        if steps := self._bench.steps():
            setattr(report, carried.STEPS, [list(step) for step in steps])
        if not self._told and self._bench.is_made:
            self._told = True
            facts_of_run = {
                "version": self._bench.info.version,
                "target": dict(self._bench.facts()),
            }
            setattr(report, carried.RUN, facts_of_run)
        seen = any(not is_unsupported(error) for _, error in case.raised)
        if result.verdict in BAD and (not seen or report.failed):
            # Nothing that pytest knows of went wrong, or only here: say it in our words.
            report.outcome = "failed"
            report.longrepr = f"{result.id}: {result.verdict}\n{result.message}"
        elif result.verdict == "expected_failure" and not seen:
            report.outcome = "skipped"
            report.longrepr = (str(report.fspath), 0, result.message)
            report.wasxfail = case.expected or ""

    def _reproduce(self, case: Case) -> str:
        words = [*self._settings.begun(image=case.uses_image), "-n", "0", "--case", case.id]
        return shlex.join(words)

    @pytest.hookimpl(trylast=True)  # interrupted, pytest takes the fixtures away in this hook
    def pytest_sessionfinish(self) -> None:
        """Take the target away."""
        self._bench.close()


def _known(entry: ExpectedFailure | None) -> dict[str, str]:
    if entry is None:
        return {}
    return {"reason": entry.reason, "link": entry.link, "shown_by": entry.shown_by or ""}


def _shown(call: Exchange) -> str:
    ended = call.failure or f"status {call.status}"
    return f"{call.verb} {call.request} -> {ended}: {call.stdout.strip()}"


def _make_encodable(report: pytest.TestReport) -> None:
    """Escape lone surrogates: a file name in a message must not break the way between processes."""
    text = report.longreprtext
    escaped = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if escaped != text and not isinstance(report.longrepr, tuple):
        report.longrepr = escaped
    report.sections = [
        (name, content.encode("utf-8", "backslashreplace").decode("utf-8"))
        for name, content in report.sections
    ]
