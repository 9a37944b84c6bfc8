"""A daemon of a store's own, known by the socket that it listens at."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
from collections.abc import Iterator

from protocol import crash, program


def at(path: str) -> int | None:
    """Return the process that listens at a unix socket, None when there is none."""
    with socket.socket(socket.AF_UNIX) as one:
        try:
            one.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        credentials = one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    pid: int = struct.unpack("iII", credentials)[0]
    return pid


def start(command: str, argument: str, path: str, log: str) -> None:
    """Start a shell's command and wait until it listens at ``path``; it says the rest to ``log``.

    It is an orphan, for whoever answers this request ends before it.
    """
    script = f'exec 2>"$1"; {command} </dev/null >&2 & echo $!'
    pid = int(program(["setsid", "sh", "-c", script, argument, log]))
    with _descriptor(pid) as process:
        while at(path) is None:
            if select.select([process], [], [], 0.02)[0]:
                with open(log, encoding="utf-8", errors="replace") as file:
                    crash(f"{command} did not start: {file.read()[-2000:]}")


def stop(pid: int) -> None:
    """End a process, and wait until it has ended."""
    with contextlib.suppress(ProcessLookupError), _descriptor(pid) as process:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        select.select([process], [], [])


@contextlib.contextmanager
def _descriptor(pid: int) -> Iterator[int]:
    process = os.pidfd_open(pid)
    try:
        yield process
    finally:
        os.close(process)
