"""Runs the commands of a build so that none of them outlives it.

Each command gets a pid and a mount namespace of its own (unshare(1)): when the command ends, or
this process dies in whatever way, the kernel kills all that it has started and takes away all that
it has mounted. Output goes to a log file; a long command is told about from time to time.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from harness.errors import TargetError

#: Seconds between two words about a command that is still running.
_PULSE: Final = 30.0
_TAIL_LINES: Final = 12
_CONFINED: Final = (
    "setpriv", "--pdeathsig", "KILL",
    "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
    "--mount-proc",
    # The first process of a pid namespace inherits orphans, which not every program bears.
    "sh", "-c", '"$@"; exit $?', "sh",
)  # fmt: skip


class BoxError(TargetError):
    """A box cannot be built or used; the message has the fact and the remedy."""


class Runner:
    """Runs commands, one at a time; needs root.

    ``held`` is a descriptor (of a lock) that every command inherits, so that what it stands for is
    taken until the last process of an aborted build is gone.
    """

    def __init__(self, log: IO[bytes], told: Callable[[str], None], held: int) -> None:
        self._log = log
        self._told = told
        self._held = held

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Run a command to its end. Raises BoxError with the end of its output."""
        words = [str(word) for word in argv]
        self._log.write(f"\n$ {' '.join(words)}\n".encode())
        self._log.flush()
        alive, theirs = os.pipe()
        try:
            process = subprocess.Popen(
                [*_CONFINED, *words],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
                cwd=cwd,
                pass_fds=(self._held, theirs),
                start_new_session=True,  # Ctrl-C is for this process, which then ends the command
            )
        except OSError as error:
            raise BoxError(f"cannot run {error.filename}: {error.strerror}") from error
        finally:
            os.close(theirs)
        try:
            status = self._wait(process)
        finally:
            process.kill()
            process.wait()
            os.read(alive, 1)  # returns when no process of the command is left
            os.close(alive)
        if status != 0:
            raise BoxError(
                f"{self._named(words)} ended with {status} (all of its output: {self._log.name}):\n"
                + "\n".join(self._tail(_TAIL_LINES))
            )

    def chroot(self, root: Path, argv: Sequence[str]) -> None:
        """Run a command in a root, with /proc and no network names. Raises as :meth:`run`."""
        script = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
        self.run(
            ["sh", "-c", script, root, *argv],
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        )

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        started = time.monotonic()
        while True:
            try:
                return process.wait(_PULSE)
            except subprocess.TimeoutExpired:
                last = self._tail(1)
                seconds = time.monotonic() - started
                self._told(f"  {seconds:.0f} s … {last[0].strip()[:100] if last else ''}")

    def _tail(self, lines: int) -> list[str]:
        with Path(self._log.name).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 16384))
            return log.read().decode("utf-8", "replace").splitlines()[-lines:]

    @staticmethod
    def _named(words: Sequence[str]) -> str:
        return " ".join(words[:3])
