"""An SVG badge of what a run says of its subject: readable without colour, and without network."""

from __future__ import annotations

from typing import Final

from harness.report import templates
from harness.results import Results
from harness.verdict import BAD
from harness.wording import SYMBOLS, counted, visible

#: What a character takes at this size on average; the text is then fitted to what was reckoned.
_WIDTH: Final = 6.6
_PADDING: Final = 12
_GOOD, _PART, _BAD = "#2a7146", "#46609c", "#a83229"


def render(run: Results) -> str:
    """Return the badge: who was judged, and in a few words what came of it."""
    label = visible(f"{run.subject.name} {run.subject.version}".strip()).replace("\n", " ")
    text, colour = said(run)
    return (
        templates()
        .get_template("badge.svg.j2")
        .render(label=label, left=_width(label), text=text, right=_width(text), colour=colour)
    )


def said(run: Results) -> tuple[str, str]:
    """Return the words of the badge, and the colour behind them."""
    profiles = visible(", ".join(run.selection.profiles))
    if run.conformant and run.selection.narrowed:
        return f"{SYMBOLS['passed']} {counted(run.summary.passed, 'case')} passed", _PART
    if run.conformant:
        return f"{SYMBOLS['passed']} conformant: {profiles}", _GOOD
    bad = sum(case.verdict in BAD for case in run.cases)
    return f"{SYMBOLS['failed']} not conformant: {bad} of {counted(len(run.cases), 'case')}", _BAD


def _width(text: str) -> int:
    return round(len(text) * _WIDTH) + _PADDING
