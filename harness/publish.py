"""A folder to publish, of one or several runs: the page, a badge for each, a summary in Markdown.

``report A/ B/ --output SITE`` makes::

    SITE/index.html          the page (harness.report)
    SITE/summary.md          for release notes
    SITE/badges/NAME.svg     one for each column
    SITE/runs/NAME/          results.json, and the evidence that it names

Nothing in it leads outside. Results may come from strangers: of the files that they name, only
those are copied that lie in the run's own folder as ordinary files.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from harness import badge, columns, markdown, report
from harness.evidence import folder_name
from harness.results import Results, write, write_text

RUNS: Final = "runs"
BADGES: Final = "badges"
SUMMARY: Final = "summary.md"


@dataclass(frozen=True, slots=True)
class Published:
    """What was written, and which evidence was named but could not be had."""

    page: Path
    badges: tuple[Path, ...]
    summary: Path
    missing: tuple[str, ...]


def publish(runs: Sequence[tuple[Results, Path]], output: Path) -> Published:
    """Write the folder; each run comes with the one that its evidence lies in. Raises OSError."""
    missing: list[str] = []
    kept = []
    for number, (run, folder) in enumerate(runs, 1):
        mine = output / RUNS / _name(number, run)
        mine.mkdir(parents=True, exist_ok=True)
        missing += _copied(run, folder, mine)
        write(run, mine / "results.json")
        kept.append(_from_output(run, mine.relative_to(output), mine))
    shown = columns.joined(kept)
    (output / BADGES).mkdir(exist_ok=True)
    badges = []
    for number, run in enumerate(shown, 1):
        path = output / BADGES / f"{_name(number, run)}.svg"
        write_text(badge.render(run), path)
        badges.append(path)
    write_text(markdown.summary(shown), output / SUMMARY)
    page = report.write([(run, output) for run in shown], output)
    return Published(page, tuple(badges), output / SUMMARY, tuple(missing))


def ordinary(folder: Path, name: str) -> bool:
    """Whether ``name`` is an ordinary file in ``folder``, and the way to it has no symlinks."""
    words = PurePosixPath(name)
    if words.is_absolute() or ".." in words.parts or not words.parts:
        return False
    path = folder
    for part in words.parts:
        path /= part
        if path.is_symlink():
            return False
    return path.is_file()


def _copied(run: Results, folder: Path, mine: Path) -> list[str]:
    """Copy the evidence of a run; return what could not be had."""
    names = [(case.id, name) for case in run.cases for name in case.evidence]
    for _, name in names:
        place = mine / name
        if ordinary(folder, name) and not (place.exists() and place.samefile(folder / name)):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, place)
    return [f"{folder}: {id_}: {name}" for id_, name in names if not ordinary(folder, name)]


def _from_output(run: Results, where: Path, mine: Path) -> Results:
    """Return the run with its evidence as it is named from the output, as far as it is there."""
    cases = tuple(
        case.model_copy(
            update={
                "evidence": tuple(
                    f"{where.as_posix()}/{name}" for name in case.evidence if ordinary(mine, name)
                )
            }
        )
        for case in run.cases
    )
    return run.model_copy(update={"cases": cases})


def _name(number: int, run: Results) -> str:
    """Return a name for a file or folder, with a number in front: it never leads elsewhere."""
    return folder_name(f"{number}-{run.subject.name}-{run.target.name}")
