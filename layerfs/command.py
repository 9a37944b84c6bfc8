"""Start processes: the one place that does. They are helpers, and run modules of layerfs itself.

A helper inherits its standard streams and what it is given, nothing else, and stands in a process
group of its own: Ctrl-C is for the process that can clean up. It is killed when the thread that
started it ends.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from layerfs import syscalls

_START: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from layerfs import command; command.help_with(*sys.argv[2:])"
)
_is_alone = False

Helper = subprocess.Popen[bytes]


def start(
    module: str,
    arguments: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    inherited: Sequence[int] = (),
    alone: bool = True,
) -> Helper:
    """Run ``module.main(arguments)`` in a new interpreter, which sees no site packages.

    Standard error stays as it is. OSError when it cannot be started. ``alone``: it shall not start
    helpers of its own, see `are_possible`.
    """
    package = str(Path(__file__).resolve().parent.parent)
    told = [package, str(os.getpid()), str(int(alone)), module, *arguments]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _START, *told],
        stdin=stdin,
        stdout=stdout,
        pass_fds=inherited,
        process_group=0,
    )


def help_with(parent: str, alone: str, module: str, *arguments: str) -> None:
    """Be a helper of the process ``parent``."""
    global _is_alone  # noqa: PLW0603 - a fact of the whole process
    _is_alone = alone == "1"
    syscalls.die_with_parent()
    if os.getppid() == int(parent):  # else it has ended before that
        importlib.import_module(module).main(list(arguments))


def are_possible() -> bool:
    """Whether helpers are of use: Python is a program, and has more than one processor.

    Not in a helper that shall be alone: those of a merge, with helpers of their own, were slower on
    two processors, by what it costs to start them and to tell them.
    """
    return not _is_alone and bool(sys.executable) and len(os.sched_getaffinity(0)) > 1


PIPE: Final = subprocess.PIPE
