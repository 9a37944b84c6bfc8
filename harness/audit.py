"""Is a bundle complete: may others rely on it, and do it again? Never on whether it is conformant.

Everything wrong is one line in ``faults``. What only limits what could be looked at, such as
another version of the suite, is a line in ``notes``.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from harness import columns, suite
from harness.bundle import RESULTS, Contents
from harness.catalogue import Entry
from harness.evidence import FOLDER
from harness.protocol import PROTOCOL_VERSION
from harness.results import SUITE_VERSION, CaseResult, Results, conformance, summarise
from harness.verdict import BAD, EXECUTED
from harness.wording import visible

#: Without these nobody can see what happened in a case.
_NEEDED: Final = ("failure.txt", "transcript.jsonl")
_ENVIRONMENT: Final = ("python", "pytest")


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found; ``results`` is None where there are none that could be read."""

    results: Results | None
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()


def examine(contents: Contents, catalogue: Callable[[], Mapping[str, Entry]]) -> Audit:
    """Examine a bundle; ``catalogue`` tells the clauses of this suite, and is asked at most once.

    Raises what ``catalogue`` raises.
    """
    try:
        run = Results.model_validate_json(contents.results, strict=True)
    except ValidationError as error:
        return Audit(None, tuple(_shapes(error)))
    faults = [*_versions(run), *_circumstances(run), *_sums(run), *_evidence(run, contents.sizes)]
    notes = []
    if run.suite_digest == suite.digest():
        faults += _clauses(run, catalogue())
    else:
        notes.append(
            f"judged by suite {columns.suite(run)}, and this is {SUITE_VERSION} "
            f"({suite.digest()[7:19]}): that no case is missing can be told only with that one"
        )
    return Audit(run, tuple(map(visible, faults)), tuple(notes))


def _shapes(error: ValidationError) -> Iterator[str]:
    for mistake in error.errors(include_url=False):
        where = ".".join(map(str, mistake["loc"])) or "the file"
        yield visible(f"{RESULTS}: {where}: {mistake['msg']}")


def _versions(run: Results) -> Iterator[str]:
    if run.protocol != PROTOCOL_VERSION:
        yield f"it is of protocol {run.protocol}, and this suite speaks {PROTOCOL_VERSION}"
    if not run.suite_digest:
        yield "it does not say which suite judged (suite_digest)"
    elif run.suite_version == SUITE_VERSION and run.suite_digest != suite.digest():
        yield f"its suite calls itself {SUITE_VERSION}, and is not the {SUITE_VERSION} that this is"


def _circumstances(run: Results) -> Iterator[str]:
    if not run.complete:
        yield "the run was interrupted"
    if not run.command:
        yield "it does not say how to run it again (command)"
    missing = [name for name in _ENVIRONMENT if not run.environment.get(name)]
    if missing:
        yield f"it does not say what the harness ran with (environment: {', '.join(missing)})"
    try:
        timely = dt.datetime.fromisoformat(run.started).tzinfo is not None
    except ValueError:
        timely = False
    if not timely:
        yield f"started is no time with a zone: {run.started!r}"
    if any(case.verdict in EXECUTED for case in run.cases):
        if not run.subject.version:
            yield "it does not say which version was judged (subject.version)"
        hidden = [name for name in ("kernel", "machine") if not getattr(run.target, name)]
        if hidden:
            yield f"it does not say what host it ran on (target: {', '.join(hidden)})"


def _sums(run: Results) -> Iterator[str]:
    if run.summary != summarise(run.cases):
        yield "summary does not count what cases has"
    twice = [id_ for id_, times in Counter(case.id for case in run.cases).items() if times > 1]
    if twice:
        yield f"there more than once: {', '.join(twice)}"
    if run.conformant and not conformance(run.cases, run.selection, complete=run.complete)[0]:
        yield "it says conformant, and its cases do not"


def _evidence(run: Results, sizes: Mapping[str, int]) -> Iterator[str]:
    for case in run.cases:
        absent = [name for name in case.evidence if name not in sizes]
        if absent:
            yield f"{case.id}: evidence is not there: {', '.join(absent)}"
        if case.verdict in BAD:
            there = {name.rsplit("/", 1)[-1] for name in case.evidence if sizes.get(name)}
            lacking = [name for name in _NEEDED if name not in there and not _untold(case, name)]
            if lacking:
                yield f"{case.id}: {case.verdict} without {', '.join(lacking)} in {FOLDER}/"
        if case.verdict == "expected_failure" and not (case.reason and case.link):
            yield f"{case.id}: expected failure without a reason and a link"
        if case.verdict == "unsupported" and not case.message:
            yield f"{case.id}: unsupported without saying what is lacking"


def _untold(case: CaseResult, name: str) -> bool:
    """Whether a file may be empty: a harness that fails may have asked the subject nothing."""
    return case.verdict == "harness_error" and name == "transcript.jsonl"


def _clauses(run: Results, entries: Mapping[str, Entry]) -> Iterator[str]:
    """Hold the cases against the suite's own list: none invented, none weakened, none left out."""
    for case in run.cases:
        entry = entries.get(case.clause)
        if entry is None or case.id not in entry.cases:
            yield f"{case.id}: this suite has no such case"
            continue
        clause = entry.clause
        if (case.level, case.profile, case.requirement) != (
            clause.level, clause.profile, clause.requirement,
        ):  # fmt: skip
            yield f"{case.id}: level, profile or requirement are not those of the suite"
    if run.selection.narrowed:
        return
    asked = {case.id for case in run.cases}
    wanted = {
        id_: entry.clause.profile
        for entry in entries.values()
        for id_ in entry.cases
        if entry.clause.profile in run.selection.profiles
    }
    missing = sorted(wanted.keys() - asked)
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        yield f"cases of its profiles are missing: {', '.join(missing[:5])}{more}"
