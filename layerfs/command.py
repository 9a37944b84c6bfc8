"""Start processes: the one place that does. They are helpers, and run modules of layerfs itself.

A helper inherits its standard streams and what it is given, nothing else, and stands in a process
group of its own: Ctrl-C is for the process that can clean up. It has to end with its parent by
itself (``syscalls.die_with_parent``, or the end of a pipe).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_START: Final = (
    "import importlib, sys; sys.path.insert(0, sys.argv[1]); "
    "importlib.import_module(sys.argv[2]).main(sys.argv[3:])"
)

Helper = subprocess.Popen[bytes]


def start(
    module: str,
    arguments: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    inherited: Sequence[int] = (),
) -> Helper:
    """Run ``module.main(arguments)`` in a new interpreter, which sees no site packages.

    Standard error stays as it is. OSError when it cannot be started. See `are_possible`.
    """
    package = str(Path(__file__).resolve().parent.parent)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _START, package, module, *arguments],
        stdin=stdin,
        stdout=stdout,
        pass_fds=inherited,
        process_group=0,
    )


def are_possible() -> bool:
    """Whether helpers are of use: Python is a program, and there is more than one processor."""
    return bool(sys.executable) and len(os.sched_getaffinity(0)) > 1


PIPE: Final = subprocess.PIPE
