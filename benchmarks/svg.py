"""The table as a picture: a line for each row, its ratio as a bar beside what it is held to.

All bars are drawn to one scale: the mark at the same place in every line is that line's bar, so
that what ends before it holds. Rows without a bar are drawn pale, against a ratio of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.bars import Row
from benchmarks.table import figure, verdict

WIDTH: Final = 1240
_LINE: Final = 26
_TOP: Final = 116
_NAME, _OURS, _THEIRS, _BARS, _WORD = 20, 730, 815, 840, 1100
_UNIT: Final = 150  #: pixels from zero to the mark
_MOST: Final = 1.6  #: times the mark, where a bar is cut off, and says so
_LETTERS: Final = 88  #: of a row's name and what it is against
_COLOURS: Final = {True: "#2e7d4f", False: "#b3261e", None: "#9aa3ad"}
_STYLE: Final = """\
text { font: 13px system-ui, 'DejaVu Sans', sans-serif; fill: #1f2328; }
.title { font-size: 20px; font-weight: 600; }
.dim { fill: #59636e; }
.cut { fill: #ffffff; font-weight: 600; }
.head { fill: #59636e; font-size: 12px; }
.other { fill: #59636e; font-size: 12px; }
"""


def picture(rows: Sequence[Row], title: str, remarks: Sequence[str]) -> str:
    """Return an SVG document. ``remarks`` are two lines below the title."""
    lines = [_line(row, _TOP + _LINE * number, number % 2) for number, row in enumerate(rows)]
    height = _TOP + _LINE * len(rows) + 46
    mark = _BARS + _UNIT
    foot = _TOP + _LINE * len(rows)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img">'
        ),
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(_NAME, 34, title, "title"),
        *(_text(_NAME, 56 + 20 * number, one, "dim") for number, one in enumerate(remarks)),
        _text(_NAME, _TOP - 12, "what, against what", "head"),
        _text(_OURS, _TOP - 12, "ours", "head", "end"),
        _text(_THEIRS, _TOP - 12, "theirs", "head", "end"),
        _text(mark, _TOP - 12, "the bar", "head", "middle"),
        _text(_WORD, _TOP - 12, "ratio / bar", "head"),
        *lines,
        (
            f'<line x1="{mark}" x2="{mark}" y1="{_TOP - 4}" y2="{foot + 2}" stroke="#1f2328" '
            'stroke-dasharray="3 3"/>'
        ),
        _text(_NAME, foot + 28, shortened(verdict(rows), 175), "dim"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _line(row: Row, y: int, shade: int) -> str:
    bar = 1.0 if row.bar is None else row.bar
    length = min(row.ratio / bar, _MOST) * _UNIT
    cut = row.ratio / bar > _MOST
    colour, base = _COLOURS[row.met], y + 17
    held = "" if row.bar is None else f" / {row.bar:.2f}"
    name = shortened(row.name, _LETTERS - 20)
    other = shortened(row.other, _LETTERS - len(name))
    parts = [
        f'<rect x="10" y="{y}" width="{WIDTH - 20}" height="{_LINE}" fill="#f6f8fa"/>'
        if shade
        else "",
        (
            f'<text x="{_NAME}" y="{base}">{escape(name)}'
            f'<tspan class="other" dx="8">{escape(other)}</tspan></text>'
        ),
        _text(_OURS, base, figure(row.ours, row.unit), "", "end"),
        _text(_THEIRS, base, figure(row.theirs, row.unit), "dim", "end"),
        (
            f'<rect x="{_BARS}" y="{y + 6}" width="{length:.1f}" height="{_LINE - 12}" rx="2" '
            f'fill="{colour}" fill-opacity="{0.45 if row.bar is None else 1}"/>'
        ),
        _text(_BARS + int(length) - 5, base, "»", "cut", "end") if cut else "",
        (
            f'<text x="{_WORD}" y="{base}" style="fill: {colour}; font-weight: 600">'
            f"{row.ratio:.2f}{held}</text>"
        ),
    ]
    return "".join(parts)


def _text(x: int, y: int, text: str, style: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>'


def shortened(text: str, most: int) -> str:
    """Cut a text that has no room."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
