"""Which clauses there are, and which cases each has: read from the collected tests.

:func:`identify` is what gives a case its id, in a run as well as here.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.clause import Clause
from harness.config import CONFORMANCE
from harness.errors import HarnessError


class CatalogueError(HarnessError):
    """The cases cannot be collected; the message is pytest's account of it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a collected case is, and the file that it is in."""

    id: str
    clause: Clause
    area: str
    module: Path


@dataclass(frozen=True, slots=True)
class Entry:
    """A clause, the area that it belongs to, the ids of its cases, and the file that has them."""

    clause: Clause
    area: str
    cases: tuple[str, ...]
    module: Path


def identify(item: pytest.Item) -> Identity | None:
    """Return the identity of a case; None for a test that is of no clause.

    Raises pytest.UsageError when the case states no requirement.
    """
    marker = item.get_closest_marker("clause")
    if marker is None or not isinstance(item, pytest.Function):
        return None
    try:
        clause: Clause = marker.args[0].described_by(item.obj.__doc__)
    except ValueError as error:
        raise pytest.UsageError(f"{item.nodeid}: {error}") from error
    spec = getattr(item, "callspec", None)
    return Identity(
        id=clause.id if spec is None else f"{clause.id}[{spec.id}]",
        clause=clause,
        area=item.path.stem.removeprefix("test_").replace("_", " "),
        module=item.path,
    )


class _Collector:
    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.faults: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.entries = gather(filter(None, map(identify, session.items)))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.faults.append(f"{report.nodeid}: {report.longreprtext}")


def gather(identities: Iterable[Identity]) -> dict[str, Entry]:
    """Return the entries by clause id, sorted. Raises pytest.UsageError on an id used twice."""
    found: dict[str, Entry] = {}
    for case in identities:
        known = found.get(case.clause.id)
        if known is None:
            found[case.clause.id] = Entry(case.clause, case.area, (case.id,), case.module)
            continue
        if case.id in known.cases or known.clause != case.clause:
            raise pytest.UsageError(f"{case.clause.id} is the id of two clauses: {case.area}")
        found[case.clause.id] = replace(known, cases=(*known.cases, case.id))
    return dict(sorted(found.items()))


def collect(folder: Path = CONFORMANCE) -> dict[str, Entry]:
    """Collect all clauses of the tests in ``folder``, without running any and without a subject.

    Raises CatalogueError.
    """
    from harness import runner  # noqa: PLC0415 - it starts pytest, which nothing else here does

    collector = _Collector()
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        words = [*runner.arguments(folder), "--collect-only", "-p", "no:terminal"]
        status = runner.pytest_main(words, [collector])
    if collector.faults or status != pytest.ExitCode.OK:
        raise CatalogueError("\n".join(collector.faults) or said.getvalue().strip())
    return collector.entries
