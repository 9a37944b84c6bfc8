"""What the command line does with results that are there: a page, a comparison, a bundle."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from harness import audit, bundle, catalogue, columns, comparison, markdown, publish, show
from harness.exits import NOT_SO, PROGRAM
from harness.results import Results, load, parse
from harness.wording import counted, outcome, visible


class Form(StrEnum):
    """How a comparison is printed."""

    text = "text"
    json = "json"
    markdown = "markdown"


def report(
    results: Annotated[list[Path], typer.Argument(help="results.json, or folders with one.")],
    output: Annotated[Path, typer.Option(help="The folder that all is written to.")],
) -> None:
    """Make a page of one or several results, side by side, with badges and a summary.

    The folder can be published as it is: evidence is copied into it. A column of the page is one
    subject on one host; runs of different profiles there are one column.
    """
    runs = [_run(path) for path in results]
    try:
        output.mkdir(parents=True, exist_ok=True)
        made = publish.publish(runs, output.absolute())
    except OSError as error:
        raise typer.BadParameter(f"{error.filename or output}: {error.strerror}") from error
    for line in made.missing:
        _say(f"evidence is not there: {line}")
    for path in (made.page, made.summary, *made.badges):
        print(path)  # noqa: T201


def compare(
    old: Annotated[Path, typer.Argument(help="results.json, a folder with one, or a bundle.")],
    new: Annotated[Path, typer.Argument(help="A later run of the same subject.")],
    form: Annotated[
        Form, typer.Option("--format", help="For people, machines, or release notes.")
    ] = Form.text,
) -> None:
    """Tell what became better and worse between two runs; exit 1 exactly when anything is worse."""
    found = comparison.compare(_alone(old), _alone(new))
    if form is Form.json:
        print(json.dumps(found.to_json(), indent=2))  # noqa: T201
    elif form is Form.markdown:
        print(markdown.compared(found), end="")  # noqa: T201
    else:
        show.comparison(show.console(), found)
    raise typer.Exit(NOT_SO if found.regressed else 0)


def make_bundle(
    output: Annotated[Path, typer.Argument(help="The tar file to write.")],
    run: Annotated[Path, typer.Argument(help="The folder of a run, with its results.json.")],
) -> None:
    """Put a run and its evidence into one file to hand in, if it is complete."""
    results, folder = _run(run)
    _tell(bundle.read(folder))
    try:
        digest = bundle.write(results, folder, output)
    except OSError as error:
        raise typer.BadParameter(f"{error.filename or output}: {error.strerror}") from error
    print(f"{digest}  {output}")  # noqa: T201


def verify_bundle(
    path: Annotated[Path, typer.Argument(help="A bundle, or the folder of a run.")],
) -> None:
    """Tell whether a run that was handed in is complete, and how to do it again.

    Says nothing of whether the subject is conformant: that is in it.
    """
    results = _tell(bundle.read(path))
    out = show.console()
    out.print(Text(visible(f"{outcome(results)} ({columns.host(results)})")), soft_wrap=True)
    out.print(Text(f"complete: {counted(len(results.cases), 'case')}, all evidence is there"))
    out.print("to run it again:")
    for line in results.command.splitlines():
        out.print(Text(f"  {visible(line)} --output build/again"), soft_wrap=True)
    out.print(Text(f"  {PROGRAM} compare {path} build/again"), soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for name, command in (
        ("report", report),
        ("compare", compare),
        ("bundle", make_bundle),
        ("verify-bundle", verify_bundle),
    ):
        app.command(name)(command)


def _alone(path: Path) -> Results:
    """Return the results in a folder, a file or a bundle."""
    if path.is_dir() or path.suffix == ".json":
        return load(path)
    return parse(bundle.read(path).results, path)


def _run(path: Path) -> tuple[Results, Path]:
    return load(path), (path if path.is_dir() else path.parent).absolute()


def _tell(contents: bundle.Contents) -> Results:
    """Say what an audit finds; ends with status 1 when anything is amiss."""
    found = audit.examine(contents, catalogue.collect)
    for line in found.notes:
        _say(line)
    for line in found.faults:
        _say(f"incomplete: {line}")
    if found.faults or found.results is None:
        raise typer.Exit(NOT_SO)
    return found.results


def _say(line: str) -> None:
    show.console(stderr=True).print(Text(visible(line)), soft_wrap=True)
