"""``layerfs-conformance matrix``: several subjects on one kind of host, and the page of them all.

Each subject is judged by a ``run`` of its own, in a process of its own, into a folder below
``OUTPUT/runs``; ``OUTPUT/site`` is what ``report`` makes of all of them. A run that ends early, or
whose host fails, leaves the others as they are.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from harness import config, publish, show, suite
from harness import target as target_kinds
from harness.exits import INTERRUPTED, NOT_SO
from harness.results import Results, ResultsError, load
from harness.wording import outcome, visible

RUNS: Final = "runs"
SITE: Final = "site"
RESULTS: Final = "results.json"


def matrix(  # noqa: PLR0917 - typer calls it by keyword
    subjects: Annotated[
        list[str] | None,
        typer.Argument(help="Names or folders (default: all that 'subjects' lists)."),
    ] = None,
    target: Annotated[str, typer.Option(help="Where the subjects run.")] = "local",
    workers: Annotated[int | None, typer.Option("-n", "--workers", min=0, help="As run's.")] = None,
    profile: Annotated[
        list[str] | None, typer.Option(help="Only this profile (repeatable), as run's.")
    ] = None,
    keyword: Annotated[str, typer.Option("-k", help="Only cases that match, as run's.")] = "",
    output: Annotated[Path, typer.Option(help="Where runs and page are written.")] = Path(
        "build/matrix"
    ),
    resume: Annotated[  # noqa: FBT002 - a flag of the command line
        bool,
        typer.Option("--resume", help="Keep the whole runs of this suite that are there already."),
    ] = False,
) -> None:
    """Judge several subjects, one after the other, and make the page of all.

    Exit 0 only when each of them was judged, and is conformant.
    """
    target_kinds.check(target)
    chosen = [config.resolve(one) for one in subjects] if subjects else config.subjects()
    if twice := _twice([subject.name for subject in chosen]):
        raise typer.BadParameter(f"two subjects are called {twice}: each has a folder of its own")
    common = ["--target", target, *(["-n", str(workers)] if workers is not None else [])]
    common += [word for one in profile or [] for word in ("--profile", one)]
    common += ["-k", keyword] if keyword else []
    out = show.console()
    begun: list[Path] = []
    for subject in chosen:
        folder = output / RUNS / subject.name
        begun.append(folder)
        if resume and (there := _whole(folder)) is not None:
            out.print(Text(f"{subject.name}: kept: {visible(outcome(there))}"), soft_wrap=True)
            continue
        out.rule(subject.name)
        (folder / RESULTS).unlink(missing_ok=True)  # of before, should there be none this time
        words = ["run", "--subject", str(subject.directory), "--output", str(folder), *common]
        _run(words)
    runs = [(found, folder) for folder in begun if (found := _found(folder)) is not None]
    made = publish.publish([(found, folder.absolute()) for found, folder in runs], output / SITE)
    out.rule("matrix")
    for found, _ in runs:
        out.print(Text(visible(outcome(found))), soft_wrap=True)
    out.print(Text(f"page: {made.page}"), soft_wrap=True)
    good = len(runs) == len(chosen) and all(found.conformant for found, _ in runs)
    raise typer.Exit(0 if good else NOT_SO)


def _twice(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)


def _run(words: Sequence[str]) -> None:
    """Run the program; what it has to say of the subject is in the results, if there are any."""
    done = subprocess.run([sys.executable, "-m", "harness.cli", *words], check=False)
    if done.returncode == INTERRUPTED:
        raise KeyboardInterrupt


def _found(folder: Path) -> Results | None:
    try:
        return load(folder)
    except ResultsError:
        return None


def _whole(folder: Path) -> Results | None:
    """Return the results in a folder if they are whole, and those of this very suite."""
    found = _found(folder)
    if found is None or not found.complete or found.suite_digest != suite.digest():
        return None
    return found
