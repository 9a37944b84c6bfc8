"""What the programs of this package share: options, words, results and the exit status."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from rich.console import Console

from benchmarks import bars, machine, svg, table
from benchmarks.measure import ROOT

ROUNDS: Final = 5
#: Load above which others' work shows in the figures.
_BUSY: Final = 0.5


def options(parser: argparse.ArgumentParser, quick: str) -> None:
    """Add the options that all have; ``quick`` says what is made smaller."""
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument(
        "--rounds", type=_rounds, default=ROUNDS, metavar="N", help="of each measure"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "build", help="default: build/")


def _rounds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"rounds must be 1 or more, not {text!r}")
    return int(text)


def say(text: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def end_by_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does, so that all is taken away."""
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def remark(known: dict[str, Any]) -> None:
    """Say on what is measured, and whether it is busy; ``known``: of ``machine.facts``."""
    say("\n".join(machine.remarks(known)))
    if known["load"] > _BUSY:
        say(f"the machine is busy (load {known['load']:.1f}): the figures will not mean much")


def publish(
    rows: list[bars.Row], details: dict[str, Any], *, folder: Path, stem: str, title: str
) -> int:
    """Print the table, and write ``stem.json``, ``stem-details.json`` and ``stem.svg``.

    ``details`` begin with ``machine.facts``. Return the exit status: 1 when a bar does not hold.
    """
    bars.write_json(rows, folder / f"{stem}.json")
    details = {**details, "load_after": os.getloadavg()[0]}
    (folder / f"{stem}-details.json").write_text(json.dumps(details, indent=1) + "\n")
    (folder / f"{stem}.svg").write_text(svg.picture(rows, title, machine.remarks(details)))
    table.show(Console(highlight=False, width=_width()), rows)
    for skipped in details.get("skipped", []):
        say(f"skipped: {skipped}")
    say(
        f"measured in {details['seconds']} s; {folder}/{stem}.json, {stem}-details.json, {stem}.svg"
    )
    return 1 if bars.missed(rows) else 0


def _width() -> int | None:
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140
