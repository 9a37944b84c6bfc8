"""What the command line shows: progress of a run, and tables.

Everything from a subject passes through :func:`harness.wording.visible` and is never read as
markup. On a terminal there is a bar and colours; elsewhere plain lines, with the same words.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from harness.comparison import KINDS, Comparison
from harness.finding import Finding
from harness.mutants import Fate, Toll
from harness.report import seconds, told
from harness.results import CaseResult, Results
from harness.verdict import BAD, Verdict
from harness.wording import COLOURS, ORDER, SYMBOLS, counted, first_line, outcome, visible, word

_PER_LINE: Final = 60
_FINDINGS: Final = {
    "ok": ("✓", "green"),
    "lacking": ("○", "yellow"),
    "missing": ("✗", "red"),
}


def console(*, stderr: bool = False) -> Console:
    """Return a console on a descriptor of its own, which pytest's capturing does not reach."""
    stream = sys.stderr if stderr else sys.stdout
    try:
        number = os.dup(stream.fileno())
    except OSError:  # a stream without a descriptor, as in tests
        return Console(file=stream, highlight=False, soft_wrap=True)
    wide = {} if os.isatty(number) or "COLUMNS" in os.environ else {"width": 120}
    file = open(number, "w", encoding=stream.encoding, errors="backslashreplace")  # noqa: SIM115
    return Console(file=file, highlight=False, **wide)  # type: ignore[arg-type]


class Live:
    """A :class:`harness.runner.Watcher`: a bar with counts on a terminal, symbols elsewhere."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._counts: Counter[Verdict] = Counter()
        self._total = 0
        self._bar: Progress | None = None
        if out.is_terminal:
            self._bar = Progress(
                BarColumn(bar_width=30, complete_style="green"),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
                console=out,
                transient=True,
            )
            self._task = self._bar.add_task("collecting", total=None)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._counts.total() % _PER_LINE:
            self._out.print()

    def expect(self, total: int) -> None:
        """Prepare for ``total`` cases."""
        self._total = total
        if self._bar is not None:
            self._bar.update(self._task, total=total, description="")

    def done(self, case: CaseResult) -> None:
        """Show one case."""
        self._counts[case.verdict] += 1
        if self._bar is None:
            self._plainly(case)
            return
        if case.verdict in BAD:
            self._bar.print(_case_line(case))
        counts = [
            f"[{COLOURS[verdict]}]{SYMBOLS[verdict]} {self._counts[verdict]}[/]"
            for verdict in ORDER
            if self._counts[verdict]
        ]
        now = first_line(case.id, 40).replace("[", "\\[")
        self._bar.update(self._task, advance=1, description=f"{'  '.join(counts)}  [dim]{now}[/]")

    def _plainly(self, case: CaseResult) -> None:
        symbol = "." if case.verdict == "passed" else SYMBOLS[case.verdict]
        self._out.print(symbol, end="", markup=False)
        if self._counts.total() % _PER_LINE == 0:
            self._out.print(f"  {self._counts.total()} of {self._total}")
        self._out.file.flush()


def _case_line(case: CaseResult) -> Text:
    line = Text()
    line.append(f"{SYMBOLS[case.verdict]} {word(case.verdict):<16} ", COLOURS[case.verdict])
    line.append(f"{visible(case.id)}  ", "bold")
    line.append(first_line(case.message))
    return line


def results(out: Console, run: Results) -> None:
    """Show the table by area, what did not pass with a line each, and the outcome."""
    if run.cases:
        out.print(_by_area(run))
    quiet: dict[str, list[str]] = {}
    for case in run.cases:
        if case.verdict == "unsupported":
            quiet.setdefault(first_line(case.message), []).append(case.id)
        elif case.verdict != "passed":
            out.print(_case_line(case), soft_wrap=True)
    for reason, ids in quiet.items():
        line = Text(f"{SYMBOLS['unsupported']} unsupported      ", COLOURS["unsupported"])
        line.append(f"{counted(len(ids), 'case')}, {reason}: ")
        line.append(visible(", ".join(ids)), "dim")
        out.print(line, soft_wrap=True)
    out.print()
    if run.cases:
        out.print(_times(run), soft_wrap=True)
    for step in run.steps:
        out.print(f"targets {told(step)}", soft_wrap=True)
    for remark in run.remarks:
        out.print(Text(first_line(remark, 400)), soft_wrap=True)
    out.print(Text(visible(outcome(run)), "bold green" if run.conformant else "bold red"))


def _by_area(run: Results) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_footer=True)
    counts = run.summary.model_dump()
    used = [verdict for verdict in ORDER if counts[verdict]]
    table.add_column("area", footer="all")
    for verdict in used:
        table.add_column(
            f"{SYMBOLS[verdict]} {word(verdict)}",
            footer=str(counts[verdict]),
            justify="right",
            style=COLOURS[verdict],
        )
    areas: dict[str, Counter[Verdict]] = {}
    for case in run.cases:
        areas.setdefault(case.area, Counter())[case.verdict] += 1
    for area, found in areas.items():
        table.add_row(visible(area), *(str(found[verdict] or "·") for verdict in used))
    return table


def _times(run: Results) -> str:
    costs = [case.overhead_s for case in run.cases if case.verdict != "unsupported"] or [0.0]
    return (
        f"{counted(run.summary.total, 'case')} of "
        f"{counted(len({case.clause for case in run.cases}), 'clause')} "
        f"in {seconds(run.duration_s)}; of the cases' time {run.overhead:.0%} was the harness's: "
        f"median {seconds(statistics.median(costs))}, most {seconds(max(costs))}"
    )


def findings(out: Console, found: Sequence[Finding]) -> None:
    """Show what the doctor found, with the remedies below their lines."""
    for finding in found:
        symbol, colour = _FINDINGS[finding.status]
        line = Text(f"{symbol} ", colour)
        line.append(f"{finding.name:<16} ", "bold")
        line.append(visible(finding.found))
        out.print(line, soft_wrap=True)
        if finding.remedy:
            out.print(Text(f"  {'':<16} mend: {finding.remedy}"), soft_wrap=True)


def fate(out: Console, one: Fate) -> None:
    """Show one mutant's end."""
    if one.cases:
        line = Text("✓ killed    ", "green")
        line.append(f"{one.mutant} ", "bold")
        first = one.cases[0]
        line.append(f"by {visible(first.id)} ({first.failure or word(first.verdict)})")
    else:
        line = Text(
            "○ unjudged  " if one.unjudged else "✗ survived  ", "" if one.unjudged else "red"
        )
        line.append(f"{one.mutant} ", "bold")
        line.append(f"({', '.join(one.catches)}) {first_line(one.why)}")
    out.print(line, soft_wrap=True)


def toll(out: Console, whole: Toll) -> None:
    """Show the count, and the clauses that nobody has seen enforced."""
    parts = [f"{len(whole.killed)} killed", f"{len(whole.survived)} survived"]
    if whole.unjudged:
        parts.append(f"{len(whole.unjudged)} not judged on this target")
    out.print()
    if whole.uncovered:
        text = f"MUST clauses without a mutant that they kill: {', '.join(whole.uncovered)}"
        out.print(Text(text), soft_wrap=True)
    out.print(Text(", ".join(parts), "bold green" if whole.good else "bold red"))


_KIND_COLOURS: Final = {"worse": "red", "better": "green"}


def comparison(out: Console, found: Comparison) -> None:
    """Show what changed, worst first, and in a last line whether the subject has regressed."""
    old, new = found.old, found.new
    out.print(
        Text(
            visible(
                f"{old.subject.name}: {old.subject.version}, {old.started} -> "
                f"{new.subject.version}, {new.started}"
            ),
            "bold",
        ),
        soft_wrap=True,
    )
    for remark in found.remarks:
        out.print(Text(visible(remark)), soft_wrap=True)
    for kind in KINDS:
        for change in found.of(kind):
            line = Text(f"{kind:<8} ", _KIND_COLOURS.get(kind, ""))
            line.append(f"{visible(change.id)}  ", "bold")
            line.append(f"{_ended(change.old)} -> {_ended(change.new)}")
            if change.new is not None and change.new.message:
                line.append(f"  {first_line(change.new.message)}", "dim")
            out.print(line, soft_wrap=True)
    counts = [f"{len(found.of(kind))} {kind}" for kind in KINDS if found.of(kind)]
    said = ", ".join([*counts, f"{found.same} as before"])
    out.print(Text(said, "bold red" if found.regressed else "bold green"))


def _ended(case: CaseResult | None) -> str:
    return "not asked" if case is None else f"{SYMBOLS[case.verdict]} {word(case.verdict)}"


def table(out: Console, headings: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Show rows below headings; the last column takes what room there is."""
    shown = Table(box=box.SIMPLE_HEAD)
    for heading in headings:
        shown.add_column(heading, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(visible(cell)) for cell in row))
    out.print(shown)
