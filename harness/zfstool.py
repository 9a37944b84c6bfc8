"""Runs ``zfs`` and ``zpool`` on the host: argument lists, bounded in time, and never in a shell.

Standard library only and fit for Python 3.9: it is taken along to the host. What a command refuses
is an OSError without a number, which has the command and its own words; one that does not end is an
OSError with ETIMEDOUT. Such a one is killed, and not waited for long: in a pool that is suspended
it dies only when that is over.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Sequence
from typing import Final

#: Seconds for one command.
TIMEOUT: Final = 60.0
#: Seconds in which a command that was killed is gone, unless it hangs in the kernel.
_DYING: Final = 1.0


class Running:
    """A command that has been started; :meth:`text` must be called."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)
        try:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C"},
                encoding="utf-8",
                errors="surrogateescape",
            )
        except OSError as error:
            raise OSError(None, f"{self._argv[0]}: {error.strerror}") from None

    def text(self, stdin: str = "", timeout: float = TIMEOUT) -> str:
        """Wait for the end and return standard output. Raises OSError."""
        try:
            said, complaint = self._process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_DYING)
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()
            raise OSError(
                errno.ETIMEDOUT, f"{' '.join(self._argv)}: not done in {timeout:g} s"
            ) from None
        if self._process.returncode != 0:
            words = "; ".join(line.strip() for line in complaint.splitlines() if line.strip())
            words = words or f"status {self._process.returncode}"
            raise OSError(None, f"{' '.join(self._argv)}: {words}")
        return said


def run(*argv: str, stdin: str = "", timeout: float = TIMEOUT) -> str:
    """Run a command to its end and return standard output. Raises OSError."""
    return Running(argv).text(stdin, timeout)
