"""Fuzz for a bounded time: ``tox -e fuzz -- [--seconds N] [--only TARGET …]``.

Each target runs in processes of its own, for ``--seconds``: the readers of bytes guided by their
coverage (atheris), whole layers drawn by hypothesis and held against the model. The exit status is
0 when nothing was found, 1 when something was (the input lies in ``build/fuzz/found``), 2 when a
target could not be run: none is left out in silence.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .targets import TARGETS, Target

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build" / "fuzz"
#: libFuzzer's for a single input, seconds and MiB: far above what any input of 16 KB may take.
_SLOW, _MEMORY = 10, 1024
_EXECUTED: Final = re.compile(r"number_of_executed_units: (\d+)|(\d+) examples")
_LAYERS: Final = {"layers-root": "root", "layers-rootless": "rootless"}


@dataclass(frozen=True)
class Result:
    """What became of one target."""

    name: str
    status: int
    seconds: float
    executed: int
    output: str


def command(name: str, seconds: int, found: Path, work: Path) -> list[str]:
    """Return the command line of one target."""
    python = [sys.executable, "-m"]
    if name in _LAYERS:
        options = ["--world", _LAYERS[name], "--seconds", str(seconds), "--found", str(found)]
        return [*python, "tests.fuzz.layers", *options]
    return [
        *python,
        "tests.fuzz.guided",
        name,
        *guided_options(TARGETS[name], seconds, found, work),
    ]


def guided_options(target: Target, seconds: int, found: Path, work: Path) -> list[str]:
    """Return libFuzzer's options; new inputs go to ``work``, which comes first."""
    limits = [f"-max_total_time={seconds}", f"-timeout={_SLOW}", f"-rss_limit_mb={_MEMORY}"]
    paths = [f"-artifact_prefix={found / target.name}-", str(work), str(target.corpus)]
    return [*limits, f"-max_len={target.longest}", "-print_final_stats=1", *paths]


def run(name: str, seconds: int, keep: Path | None) -> Result:
    """Run one target to its end."""
    found = BUILD / "found"
    found.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="layerfs-fuzz-") as scratch:
        work = Path(scratch) if keep is None else keep / name
        work.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            command(name, seconds, found, work),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    (BUILD / f"{name}.log").write_text(done.stdout)
    executed = sum(int(one or other) for one, other in _EXECUTED.findall(done.stdout))
    return Result(name, done.returncode, time.monotonic() - began, executed, done.stdout)


def lacking(names: list[str]) -> list[str]:
    """Say why a target cannot be run here; a line for each reason."""
    lines = []
    if set(names) & set(TARGETS) and importlib.util.find_spec("atheris") is None:
        python = ".".join(str(part) for part in sys.version_info[:2])
        without = ", ".join(sorted(set(names) & set(TARGETS)))
        lines.append(
            f"atheris is not installed, and without it {without} cannot be run. This is Python "
            f"{python} on {platform.machine()}; wheels are there for 3.11 to 3.14 on x86_64"
        )
    if "layers-root" in names and os.geteuid() != 0:
        lines.append("layers-root applies layers as the host's root; leave it out with --only")
    return lines


def tell(results: list[Result]) -> int:
    """Print a line for each target, and the end of what went wrong; return the exit status."""
    status = 0
    for one in sorted(results, key=lambda result: result.name):
        word = {0: "nothing found"}.get(one.status, f"FOUND something (status {one.status})")
        sys.stdout.write(f"{one.name:16} {one.seconds:6.0f} s {one.executed:10} runs  {word}\n")
        if one.status:
            status = 1
            sys.stdout.write(one.output[-4000:] + "\n")
        elif not one.executed:
            status = max(status, 2)
            sys.stdout.write(f"{one.name} ended without a single run\n")
    return status


def main() -> int:
    names = [*TARGETS, *_LAYERS]
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--only", nargs="+", choices=names, default=None, metavar="TARGET",
                        help=", ".join(names))  # fmt: skip
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at a time")
    parser.add_argument("--keep", type=Path, help="a folder for inputs that reached new code")
    chosen = parser.parse_args()
    wanted = chosen.only or [n for n in names if n != "layers-root" or os.geteuid() == 0]
    if "layers-root" not in wanted and chosen.only is None:
        sys.stdout.write("layers-root is not run: it needs the host's root\n")
    if lines := lacking(wanted):
        sys.stdout.write("\n".join(lines) + "\n")
        return 2
    with ThreadPoolExecutor(chosen.jobs) as pool:
        results = list(pool.map(lambda name: run(name, chosen.seconds, chosen.keep), wanted))
    return tell(results)


if __name__ == "__main__":
    sys.exit(main())
