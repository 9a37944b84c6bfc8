"""A tree as text, to see that two ways did the same work: names, types, modes, owners, times."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.packages import run

_FORMAT: Final = r"%P\0%y %m %U:%G %T@ %l %s %n\n"


def of(folder: Path) -> str:
    """Return a line for each path below ``folder``, sorted: of a directory type, mode and owner.

    Its size is how its file system keeps it; its time is lost by GNU tar, where it makes symlinks
    that point upwards at the end.
    """
    found = run(["find", folder, "-mindepth", "1", "-printf", _FORMAT])
    return "\n".join(sorted(_line(line) for line in found.split("\n") if line))


def difference(ours: str, theirs: str) -> str:
    """Say where two listings of layers without whiteouts differ first; empty if they do not."""
    found = sorted(set(ours.split("\n")) ^ set(theirs.split("\n")))
    if not found:
        return ""
    whose = "ours" if found[0] in ours.split("\n") else "theirs"
    return f"{len(found)} lines differ, first (only {whose}): {found[0]!r}"


def _line(line: str) -> str:
    name, _, facts = line.partition("\0")
    return f"{name}\0{' '.join(facts.split(' ')[:3]) if facts.startswith('d') else facts}"
