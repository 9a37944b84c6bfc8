"""Rows of the result: our seconds, the other's, their ratio, and the bar that it is held to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. Without ``bar`` it only informs.

    ``unit`` is that of ``ours`` and ``theirs``: "s", or "MiB" where the name says memory.
    ``below``: the ratio must be less than the bar; otherwise at most the bar.
    """

    name: str
    ours: float
    other: str
    theirs: float
    bar: float | None = None
    below: bool = False
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """Ours divided by the other's."""
        return self.ours / self.theirs

    @property
    def met(self) -> bool | None:
        """Whether the bar holds; None without a bar."""
        if self.bar is None:
            return None
        return self.ratio < self.bar if self.below else self.ratio <= self.bar

    def record(self) -> dict[str, Any]:
        """Return the row as it is in ``bench.json``."""
        return {
            "name": self.name,
            "ours_s": round(self.ours, 6),
            "other": self.other,
            "other_s": round(self.theirs, 6),
            "ratio": round(self.ratio, 4),
            "bar": None if self.bar is None else round(self.bar, 4),
            "met": self.met,
        }


def limit(name: str, ours: float, most: float, *, unit: str = "s") -> Row:
    """Return a row against a fixed limit, which must not be reached: "under 100 MiB"."""
    shown = f"{most * 1000:g} ms" if unit == "s" else f"{most:g} {unit}"
    return Row(name, ours, shown, most, bar=1.0, below=True, unit=unit)


def missed(rows: Sequence[Row]) -> list[Row]:
    """Return the rows whose bar does not hold."""
    return [row for row in rows if row.met is False]


def write_json(rows: Sequence[Row], path: Path) -> None:
    """Write ``bench.json``: a list of objects, in the order of the rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f"  {json.dumps(row.record())}" for row in rows)
    path.write_text(f"[\n{lines}\n]\n" if rows else "[]\n")
