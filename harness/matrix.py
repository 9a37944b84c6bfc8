"""Cases by runs, and areas by runs: the tables that a page of results is made of.

Only arranges what the runs say. A run that does not have a case has None in its place.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.evidence import folder_name
from harness.results import CaseResult, Results
from harness.verdict import BAD, Verdict
from harness.wording import first_line

#: In place of a verdict, where a run does not have the case.
NOT_RUN = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """One case, with what each run says of it."""

    id: str
    runs: tuple[CaseResult | None, ...]

    @property
    def any(self) -> CaseResult:
        """The case as the first run that has it describes it."""
        return next(case for case in self.runs if case is not None)

    @property
    def verdicts(self) -> str:
        """The verdicts in the order of the runs, for the filter."""
        return " ".join(NOT_RUN if case is None else case.verdict for case in self.runs)

    @property
    def bad(self) -> bool:
        """Whether any run has something to explain here."""
        return any(case is not None and case.verdict in BAD for case in self.runs)

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to tell: it passed wherever it was run."""
        seen = {case.verdict for case in self.runs if case is not None}
        return seen <= {"passed", "unsupported"}

    @property
    def anchor(self) -> str:
        """A fragment of the page's address for this row."""
        return f"case-{folder_name(self.id)}"

    @property
    def text(self) -> str:
        """What the text filter looks in."""
        case = self.any
        said = {first_line(one.message) for one in self.runs if one is not None}
        words = (case.id, case.area, case.requirement, case.source, *sorted(said))
        return " ".join(filter(None, words)).lower()


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds that the cases of an area took in one run; those that were not asked do not count."""

    total: float
    median: float
    most: float


@dataclass(frozen=True, slots=True)
class Area:
    """What cases are about, such as whiteouts, with its rows."""

    name: str
    rows: tuple[Row, ...]
    runs: int

    def counts(self) -> list[Mapping[Verdict, int]]:
        """Return, for each run, how often each verdict was given."""
        return [Counter(case.verdict for case in self._cases(run)) for run in range(self.runs)]

    def times(self) -> list[Times | None]:
        """Return, for each run, how long its cases took; None where none was asked."""
        return [_times(self._cases(run)) for run in range(self.runs)]

    def _cases(self, run: int) -> list[CaseResult]:
        cases = (row.runs[run] for row in self.rows)
        return [case for case in cases if case is not None]


def areas(runs: Sequence[Results]) -> list[Area]:
    """Return the areas of all runs, in the order of their names, and of the cases' ids."""
    tables = [{case.id: case for case in run.cases} for run in runs]
    ids = dict.fromkeys(case.id for run in runs for case in run.cases)
    rows = [Row(id_, tuple(table.get(id_) for table in tables)) for id_ in ids]
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.any.area, row.id)):
        found.setdefault(row.any.area, []).append(row)
    return [Area(name, tuple(members), len(runs)) for name, members in found.items()]


def _times(cases: Sequence[CaseResult]) -> Times | None:
    taken = [case.duration_s for case in cases if case.verdict != "unsupported"]
    return Times(sum(taken), statistics.median(taken), max(taken)) if taken else None
