"""The table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.bars import Row, missed

#: What is said of a row whose bar holds, does not hold, or that has none.
WORDS = {True: ("✓ met", "green"), False: ("✗ not met", "bold red"), None: ("", "dim")}


def figure(value: float, unit: str) -> str:
    """Return a value with three digits or so, in a unit that a reader grasps."""
    if unit != "s":
        return f"{value:.1f} {unit}"
    if value < 0.01:
        return f"{value * 1000:.2f} ms"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def verdict(rows: Sequence[Row]) -> str:
    """Return the last line: how many bars hold, and which do not."""
    held = [row for row in rows if row.met is not None]
    bad = missed(rows)
    if not bad:
        return f"all {len(held)} bars hold" if held else "no bar was measured"
    names = "; ".join(f"{row.name} against {row.other}" for row in bad)
    return f"{len(bad)} of {len(held)} bars do not hold: {names}"


def show(out: Console, rows: Sequence[Row]) -> None:
    """Print all rows, and the verdict."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("what", "against"):
        table.add_column(heading, overflow="fold")
    for heading in ("ours", "theirs", "ratio", "bar"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    before = ""
    for row in rows:
        word, colour = WORDS[row.met]
        sign = "<" if row.below else "≤"
        table.add_row(
            Text("" if row.name == before else row.name),
            Text(row.other),
            figure(row.ours, row.unit),
            figure(row.theirs, row.unit),
            Text(f"{row.ratio:.2f}", colour),
            "" if row.bar is None else f"{sign} {row.bar:.2f}",
            Text(word, colour),
        )
        before = row.name
    out.print(table)
    out.print(Text(verdict(rows), "bold red" if missed(rows) else "bold green"), soft_wrap=True)
