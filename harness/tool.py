"""Runs a program of this machine for the harness: bounded in time, and ended with the harness.

For what is done on the machine that the suite itself runs on (vagrant, virsh, qemu-img, apt). What
runs on a target goes through a :class:`harness.remote.Remote` instead.

``setpriv --pdeathsig`` (util-linux) has the kernel kill the program when the thread that started it
ends, so that a killed run leaves no vagrant behind that goes on making machines. Ctrl-C at the
terminal does not reach it, since it has a session of its own: the harness ends it.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.errors import TargetError

#: Lines of a failed program's output that its error shows.
_SHOWN: Final = 12
_CANNOT_EXECUTE: Final = 127
#: Where the administrator's programs are, for users whose PATH has not all of it.
SBIN: Final = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Done:
    """A program that has ended: its exit status (negative: that signal) and both streams."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """The last lines of both streams, for an error's text."""
        lines = [line for line in (self.stdout + "\n" + self.stderr).splitlines() if line.strip()]
        return "\n".join(lines[-_SHOWN:])

    def good(self) -> str:
        """Return standard output. Raises TargetError for any status but 0."""
        if self.status != 0:
            raise TargetError(f"{shlex.join(self.argv)}: status {self.status}: {self.said}")
        return self.stdout


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    keep: Sequence[int] = (),
) -> Done:
    """Run a program to its end; its messages are in English.

    ``env`` is its whole environment (None: ours); the descriptors ``keep`` stay open in it, which
    keeps the locks on them for as long as it or a child of it runs.

    Raises TargetError when it cannot be started or has not ended after ``timeout`` seconds. It and
    its children have been killed then, and also when anything else (KeyboardInterrupt) is raised.
    """
    words = tuple(argv)
    try:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *words],
            env=_environment(os.environ if env is None else env),
            pass_fds=tuple(keep),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except FileNotFoundError:
        raise TargetError("setpriv is missing: install the package util-linux") from None
    with process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise TargetError(f"{shlex.join(words)} did not end in {timeout:g} s; killed") from None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode == _CANNOT_EXECUTE and "failed to execute" in stderr:
        raise TargetError(f"{words[0]} is missing here: 'layerfs-conformance doctor' says more")
    return Done(words, process.returncode, stdout, stderr)


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    return {**given, "PATH": f"{given.get('PATH', os.defpath)}:{SBIN}", "LC_ALL": "C.UTF-8"}
