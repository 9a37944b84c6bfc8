"""``index.html``: one or several results as one page, self-contained and without network.

A subject's words are untrusted: the template escapes all of them, a content security policy allows
nothing but the page's own style and script, and control characters are made visible.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.evidence import folder_name
from harness.results import CaseResult, Results, Steps, write_text
from harness.verdict import BAD
from harness.wording import ORDER, SYMBOLS, counted, first_line, outcome, source_url, visible, word

PAGE: Final = "index.html"
#: The map of the machine's first user namespace (user_namespaces(7)).
_ALL_IDS: Final = (0, 0, 4294967295)


@dataclass(frozen=True, slots=True)
class _Row:
    """One case, with what each run says of it; None where a run does not have it."""

    id: str
    runs: tuple[CaseResult | None, ...]

    @property
    def any(self) -> CaseResult:
        """The case as the first run that has it describes it."""
        return next(case for case in self.runs if case is not None)

    @property
    def verdicts(self) -> str:
        """All verdicts of the row, for the filter."""
        return " ".join(sorted({case.verdict for case in self.runs if case is not None}))

    @property
    def bad(self) -> bool:
        """Whether any run has something to explain here."""
        return any(case is not None and case.verdict in BAD for case in self.runs)

    @property
    def anchor(self) -> str:
        """A fragment of the page's address for this row."""
        return f"case-{folder_name(self.id)}"

    @property
    def text(self) -> str:
        """What the text filter looks in."""
        case = self.any
        said = " ".join(one.message for one in self.runs if one is not None)
        words = (case.id, case.area, case.level, case.profile, case.requirement, case.source, said)
        return " ".join(words).lower()


def write(runs: Sequence[tuple[Results, Path]], output: Path) -> Path:
    """Write the page for ``runs`` into the folder ``output`` and return its path.

    Each run comes with the folder that its evidence lies in; links to it are relative to the page.
    Raises OSError; an old page then stays as it was.
    """
    page = output / PAGE
    write_text(render(runs, output), page)
    return page


def render(runs: Sequence[tuple[Results, Path]], output: Path) -> str:
    """Return the page for ``runs``, as it is right in the folder ``output``."""
    environment = Environment(
        loader=PackageLoader("harness"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        word=word,
        counted=counted,
        visible=visible,
        first_line=first_line,
        source_url=source_url,
        seconds=seconds,
    )
    bases = [os.path.relpath(folder, output) for _, folder in runs]
    results = [result for result, _ in runs]
    rows = _rows(results)
    return environment.get_template("report.html.j2").render(
        runs=results,
        bases=[quote(base) for base in bases],
        attention=[row for row in rows if row.bad],
        bad=BAD,
        areas=_areas(rows),
        table=_table(rows, results),
        totals=[result.summary.model_dump() for result in results],
        order=ORDER,
        symbols=SYMBOLS,
        outcome=outcome,
        facts=_facts,
        quote=quote,
    )


def told(step: Steps) -> str:
    """Say what making targets took."""
    return f"{step.name}: {step.count}, {seconds(step.median_s)} each, most {seconds(step.most_s)}"


def seconds(value: float) -> str:
    """Return a duration for people: milliseconds below a second, minutes above two."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 120:
        return f"{value:.1f} s"
    return f"{value // 60:.0f} min {value % 60:.0f} s"


def _rows(results: Sequence[Results]) -> list[_Row]:
    tables = [{case.id: case for case in result.cases} for result in results]
    ids = dict.fromkeys(case.id for result in results for case in result.cases)
    rows = [_Row(id_, tuple(table.get(id_) for table in tables)) for id_ in ids]
    return sorted(rows, key=lambda row: (row.any.area, row.id))


def _areas(rows: Sequence[_Row]) -> dict[str, list[_Row]]:
    areas: dict[str, list[_Row]] = {}
    for row in rows:
        areas.setdefault(row.any.area, []).append(row)
    return areas


def _table(rows: Sequence[_Row], results: Sequence[Results]) -> dict[str, list[Mapping[str, int]]]:
    """Area to, for each run, verdict to count."""
    table: dict[str, list[Mapping[str, int]]] = {}
    for area, members in _areas(rows).items():
        table[area] = []
        for index in range(len(results)):
            counts: dict[str, int] = dict.fromkeys(ORDER, 0)
            for row in members:
                case = row.runs[index]
                if case is not None:
                    counts[case.verdict] += 1
            table[area].append(counts)
    return table


def _facts(results: Results) -> dict[str, str]:
    """Say what is known of the run, for a list of terms."""
    target = results.target
    facts: dict[str, Any] = {
        "Subject": f"{results.subject.name} {results.subject.version}",
        "Description": results.subject.description,
        "Profiles": ", ".join(results.selection.profiles),
        "Narrowed to": results.selection.keyword or ", ".join(results.selection.cases),
        "Capabilities": ", ".join(results.subject.capabilities),
        "Target": target.name,
        "Kernel": target.kernel,
        "ZFS": ", ".join(filter(None, [target.zfs_version, _pool(target.zfs_vdev)])),
        "User ids": _id_map(target.uid_map),
        "Group ids": _id_map(target.gid_map),
        "Privileges": ", ".join(target.privileges),
        "Started": results.started.replace("T", " ").replace("+00:00", " UTC"),
        "Took": f"{seconds(results.duration_s)}; {results.overhead:.0%} of the cases' time was "
        "the harness's",
        "Targets": "; ".join(map(told, results.steps)),
        "Protocol": results.protocol,
        "Suite": results.suite_version,
    }
    return {name: str(value) for name, value in facts.items() if value not in {"", None}}


def _pool(vdev: str) -> str:
    """Say what the run's pool lies on; empty without one."""
    return f"a pool on a {'sparse file' if vdev == 'file' else vdev}" if vdev else ""


def _id_map(ranges: Sequence[tuple[int, int, int]]) -> str:
    if list(ranges) == [_ALL_IDS]:
        return "all, as on the machine itself"
    return "; ".join(
        f"{inside} is {outside} outside" if count == 1 else f"{count} from {inside} at {outside}"
        for inside, outside, count in ranges
    )
