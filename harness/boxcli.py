"""``layerfs-conformance box``: what the command line does with boxes."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.text import Text

from harness import box, boxrecipe, show

app = typer.Typer(help="Images of disposable virtual machines.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(help="A box that 'box list' names.")]


@app.command("build")
def build(name: _Name) -> None:
    """Build a box from Debian packages, unless it is there already; prints its folder.

    Needs root, apt, mmdebstrap and qemu-img, and some minutes. The result is kept in your cache
    folder until its recipe changes.
    """
    err = show.console(stderr=True)
    started = time.monotonic()

    def told(line: str) -> None:
        err.print(Text(f"[{time.monotonic() - started:4.0f} s] {line}"), soft_wrap=True)

    built = box.build(name, told)
    print(built.path)  # noqa: T201


@app.command("list")
def list_boxes() -> None:
    """List the boxes: those that can be built, and those that are."""
    rows = [
        (name, boxrecipe.load(name).description, *_state(box.find(name)))
        for name in boxrecipe.names()
    ]
    rows += [
        (old.name, "of another recipe", *_state(old)) for old in box.boxes() if not old.current
    ]
    headings = ("box", "what", "state", "kernel", "ZFS", "size")
    show.table(show.console(), headings, rows)


def _state(built: box.Box | None) -> tuple[str, str, str, str]:
    if built is None:
        return ("not built", "", "", "")
    state = "built" if built.current else "outdated"
    kernel, zfs = (str(built.metadata[one]) for one in ("kernel", "zfs"))
    return (state, kernel, zfs, f"{built.size >> 20} MiB")


@app.command("remove")
def remove(name: _Name) -> None:
    """Remove a box from the cache folder, and what aborted builds of it have left."""
    for path in box.remove(name):
        print(path)  # noqa: T201
