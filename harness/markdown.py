"""Results as Markdown, for release notes: GitHub's, and plain enough for any other.

What a subject says is untrusted: it stands in code spans, where nothing is read as markup, a
mention or a reference, or with all punctuation escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from harness import columns
from harness.comparison import KINDS, Comparison
from harness.results import CaseResult, Results
from harness.wording import ORDER, SYMBOLS, counted, first_line, is_web, outcome, visible, word

#: How many cases are listed one by one.
SHOWN: Final = 50


def text(words: str) -> str:
    """Return ``words`` as text within a line: what could be markup there is escaped."""
    line = " ".join(visible(words).split())
    return re.sub(r"([!-'*+:-@\[-`{-~]|(?<=[wW]{3})\.)", r"\\\1", line)


def code(words: str) -> str:
    """Return ``words`` as a code span on one line."""
    line = " ".join(visible(words).split()) or " "
    fence = "`" * (1 + max((len(ticks) for ticks in re.findall("`+", line)), default=0))
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a table; the cells are Markdown already."""
    heads = list(headings)
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def summary(runs: Sequence[Results]) -> str:
    """Return what came of the runs, and every case that needs a word: bad ones, and known ones."""
    used = [one for one in ORDER if any(run.summary.model_dump()[one] for run in runs)]
    headings = ["subject", "host", "profiles", *(f"{SYMBOLS[one]} {word(one)}" for one in used)]
    rows = [
        [
            f"{SYMBOLS['passed' if run.conformant else 'failed']} {text(outcome(run))}",
            text(columns.host(run)),
            text(", ".join(run.selection.profiles)),
            *(str(run.summary.model_dump()[one] or "·") for one in used),
        ]
        for run in runs
    ]
    suites = ", ".join(dict.fromkeys(text(columns.suite(run)) for run in runs))
    lines = ["## Conformance", "", *table(headings, rows), "", f"Suite {suites}.", ""]
    for run in runs:
        lines += _named(run)
    return "\n".join(lines)


def _named(run: Results) -> list[str]:
    who = text(f"{run.subject.name} {run.subject.version}, {run.target.name}")
    known = [case for case in run.cases if case.verdict == "expected_failure"]
    lines: list[str] = []
    for heading, cases in (("needs attention", run.bad()), ("known failures", known)):
        if cases:
            lines += [f"### {who}: {heading}", "", *map(_line, cases[:SHOWN])]
            left = len(cases) - SHOWN
            lines += [f"- and {counted(left, 'case')} more"] if left > 0 else []
            lines.append("")
    return lines


def _line(case: CaseResult) -> str:
    said = case.reason or first_line(case.message)
    line = f"- {SYMBOLS[case.verdict]} {word(case.verdict)} {code(case.id)}"
    line += f": {code(said)}" if said else ""
    if case.link:
        line += f" (<{case.link}>)" if is_web(case.link) else f" ({code(case.link)})"
    return line


def compared(found: Comparison) -> str:
    """Return what changed between two runs of one subject, as tables."""
    versions = [f"{run.subject.version}, {run.started}" for run in (found.old, found.new)]
    lines = [f"## {text(found.old.subject.name)}: {' → '.join(map(text, versions))}", ""]
    lines += [f"- {text(remark)}" for remark in found.remarks]
    lines += [""] if found.remarks else []
    for kind in KINDS:
        changes = found.of(kind)
        if not changes:
            continue
        rows = [
            [code(one.id).replace("|", r"\|"), one.any.level, _ended(one.old), _ended(one.new)]
            for one in changes[:SHOWN]
        ]
        lines += [f"### {kind}: {counted(len(changes), 'case')}", ""]
        lines += [*table(("case", "level", "old", "new"), rows), ""]
        if len(changes) > SHOWN:
            lines += [f"and {counted(len(changes) - SHOWN, 'case')} more", ""]
    lines.append(f"{counted(found.same, 'case')} as before.")
    return "\n".join(lines) + "\n"


def _ended(case: CaseResult | None) -> str:
    return "·" if case is None else f"{SYMBOLS[case.verdict]} {word(case.verdict)}"
