"""Starts commands for :class:`harness.site.Site` from within the target.

The other side sends one packet for each command over a socket, with five descriptors: the request
(a JSON object in a memfd), the end on which the command's fate is told, and its three streams. So a
command costs one fork and exec, nothing is copied, and no descriptor of the harness is inherited.
A request that is a :mod:`harness.transfer` costs the fork alone. A packet without descriptors is a
signal for a command that still runs.

The loop ends when the other end of the socket closes, for whatever reason. Standard library only
and fit for Python 3.9.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
from typing import Any, Final

from harness import transfer

_PACKET: Final = 4096
_DESCRIPTORS: Final = 5


class Agent:
    """The commands that run right now, each with the pipe on which its end is to be told."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._running: dict[int, tuple[subprocess.Popen[bytes] | None, int]] = {}

    def serve(self) -> None:
        """Start, signal and reap until the other end closes."""
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        poller = select.poll()
        poller.register(self._control, select.POLLIN)
        poller.register(woken, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poller.poll()}
            if woken in ready:
                os.read(woken, _PACKET)
                self._reap()
            if self._control.fileno() in ready and not self._take_packet():
                return

    def _take_packet(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, _PACKET, _DESCRIPTORS)
        if not message:
            return False
        if descriptors:
            self._start(*descriptors)
        else:
            wanted = json.loads(message)
            if wanted["pid"] in self._running:  # else the number may belong to another by now
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(wanted["pid"], wanted["signal"])
        return True

    def _start(self, request: int, fate: int, stdin: int, stdout: int, stderr: int) -> None:
        with open(request, "rb") as file:
            wanted = json.load(file)
        process = None
        try:
            if "transfer" in wanted:
                pid = _fork_transfer(wanted["transfer"], stdin, stdout, stderr)
            else:
                process = subprocess.Popen(
                    wanted["argv"],
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    env=wanted["env"],
                    cwd=wanted["cwd"],
                    start_new_session=True,
                )
                pid = process.pid
        except OSError as error:
            _tell(fate, {"error": [error.errno, error.strerror, error.filename]})
            os.close(fate)
        else:
            self._running[pid] = (process, fate)
            _tell(fate, {"pid": pid})
        finally:
            for descriptor in (stdin, stdout, stderr):
                os.close(descriptor)

    def _reap(self) -> None:
        """Reap our own commands, and the orphans that only a parent of all can reap."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            process, fate = self._running.pop(pid, (None, -1))
            code = os.waitstatus_to_exitcode(status)
            if process is not None:
                process.returncode = code
            if fate >= 0:
                _tell(fate, {"status": code})
                os.close(fate)


def _fork_transfer(wanted: dict[str, Any], stdin: int, stdout: int, stderr: int) -> int:
    """Return the process that transfers a file, the leader of a session like any command."""
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Who waits for the end of another command's streams shall not wait for this one.
        _close_all_but(stdin, stdout, stderr)
        transfer.run(wanted, stdin, stdout, stderr)
    return child


def _close_all_but(*kept: int) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with contextlib.suppress(OSError):  # the one that the directory was read by
                os.close(int(name))


def _tell(fate: int, what: dict[str, Any]) -> None:
    # The harness may have lost interest in the meantime.
    with contextlib.suppress(BrokenPipeError):
        os.write(fate, json.dumps(what).encode() + b"\n")


def kill_descendants() -> None:
    """Kill all that descends from this process, which must be a subreaper, and reap it.

    Where there is no pid namespace whose end would do so. Each round kills what is a child now;
    grandchildren become children when their parents die.
    """
    while True:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    """Return the direct children of this process, zombies included."""
    own, found = os.getpid(), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(f"/proc/{name}/stat", "rb") as file:
                    # proc_pid_stat(5): the name in parentheses may itself hold any character.
                    after_name = file.read().rpartition(b")")[2].split()
                if int(after_name[1]) == own:
                    found.append(int(name))
    return found
