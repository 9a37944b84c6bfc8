"""``layerfs-conformance subject``: what the command line does for those who bring a subject."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness import skeleton
from harness.config import CONFORMANCE
from harness.exits import PROGRAM

app = typer.Typer(help="A subject of your own.", no_args_is_help=True)


class Language(StrEnum):
    """What the adapter is written in."""

    python = "python"
    shell = "shell"


@app.command("new")
def new(
    name: Annotated[Path, typer.Argument(help="A folder that is not there yet; its name counts.")],
    language: Annotated[Language, typer.Option(help="Of the adapter.")] = Language.python,
) -> None:
    """Write a subject to begin with: a toy store that speaks the protocol."""
    for path in skeleton.write(name, language.value):
        print(path)  # noqa: T201
    shown = name if name.is_absolute() else Path(".") / name
    print(f"next: {PROGRAM} run --subject {_word(shown)} -k identity")  # noqa: T201


@app.command("pages")
def pages() -> None:
    """Print where the pages for vendors are: the protocol, and the way to a first verdict."""
    for page in ("PROTOCOL.md", "VENDORS.md"):
        print(CONFORMANCE / page)  # noqa: T201


def _word(path: Path) -> str:
    """Return the path as --subject takes it for a folder: with a slash in it."""
    return str(path) if "/" in str(path) else f"./{path}"
