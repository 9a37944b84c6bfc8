"""A disposable place for commands on the machine that this runs on: what every target is made of.

:mod:`harness.local_remote` makes one where the harness is, :mod:`harness.relay` on another host.
The holder (:mod:`harness.holder`) makes and keeps it, in a process of its own; a command is started
by handing it descriptors. Everything vanishes with the holder, and the holder with this process,
also when that is killed.

Standard library only and fit for Python 3.9. Raises TargetError.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from harness import holder, workplace
from harness.errors import RemoteError, TargetError

#: Seconds that the holder has for making, and for taking away, what it holds.
TIMEOUT: Final = 60.0
_BOOTSTRAP: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from harness.holder import main; main(sys.argv[2])"
)
#: Variables that would make a subject write where it cannot, or speak of this process.
_DROPPED: Final = ("PYTEST_", "COV_CORE_", "COVERAGE_PROCESS_", "XDG_", "TMP", "TEMP", "SSH_")


class Streams(NamedTuple):
    """Our ends of one command's pipes; ``fate`` tells JSON lines (:mod:`harness.agent`)."""

    fate: int
    stdin: int
    stdout: int
    stderr: int


class Site:
    """One such place below ``parent``; the constructor makes it, or leaves nothing.

    The holder is a program of its own, which finds this package in ``package``; or, where this
    process has no other thread and nothing else to lose, a copy of it, without the descriptors in
    ``forked``, which spares the start of an interpreter. For the rest see
    :class:`harness.holder.Wanted`.
    """

    def __init__(
        self,
        parent: str,
        *,
        package: str = "",
        forked: Sequence[int] = (),
        direct: bool = False,
        protect: bool = True,
        cover: Sequence[str] = (),
    ) -> None:
        workplace.sweep(parent)
        try:
            self.directory, lock = workplace.make(parent)
        except OSError as error:
            raise TargetError(f"no directory can be made in {parent}: {error.strerror}") from None
        self.workdir = workplace.work(self.directory)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ready, ready_theirs = socket.socketpair()
        wanted = {
            "control": theirs.fileno(), "ready": ready_theirs.fileno(),
            "directory": self.directory, "user_namespace": not direct and os.geteuid() != 0,
            "cover": list(cover), "protect": protect, "direct": direct,
        }  # fmt: skip
        self.keeper: subprocess.Popen[bytes] | _Copy
        if package:
            self.keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, package, json.dumps(wanted)],
                pass_fds=(theirs.fileno(), ready_theirs.fileno(), lock),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the harness, which then ends the target
            )
        else:
            self.keeper = _Copy([*forked, self._control.fileno(), ready.fileno()], wanted)
        os.close(lock)
        theirs.close()
        ready_theirs.close()
        try:
            self.facts: dict[str, Any] = self._handshake(ready)
        except BaseException:
            self.close()
            raise
        finally:
            ready.close()

    def _handshake(self, ready: socket.socket) -> dict[str, Any]:
        """Wait until the place is made, mapping the ids when the keeper asks for it."""
        ready.settimeout(TIMEOUT)
        ids: list[str] = []
        with ready.makefile("rb") as lines:
            while True:
                try:
                    line = lines.readline()
                except TimeoutError:
                    raise TargetError(f"the target was not made in {TIMEOUT:g} s") from None
                if not line:
                    raise TargetError("the holder of the namespaces died while making them")
                said: dict[str, Any] = json.loads(line)
                if "error" in said:
                    raise TargetError(said["error"])
                if "unshared" not in said:
                    said["notes"] += ids
                    return said
                ids = _map_ids(self.keeper.pid)
                ready.sendall(b"0" if ids else b"1")

    def start(self, request: Mapping[str, Any]) -> Streams:
        """Ask for a command or a transfer (:mod:`harness.agent`); its fate says what became of it.

        Raises OSError when the place has gone.
        """
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            memory = os.memfd_create("request", os.MFD_CLOEXEC)
            theirs.callback(os.close, memory)
            with open(memory, "wb", closefd=False) as file:
                file.write(json.dumps(request).encode())
            os.lseek(memory, 0, os.SEEK_SET)
            passed, kept = [memory], []
            for name in Streams._fields:
                reading, writing = os.pipe()
                mine, other = (writing, reading) if name == "stdin" else (reading, writing)
                theirs.callback(os.close, other)
                ours.callback(os.close, mine)
                passed.append(other)
                kept.append(mine)
            socket.send_fds(self._control, [b"start"], passed)
            ours.pop_all()
            return Streams(*kept)

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to the group of a command that still runs; else nothing."""
        # A place that has gone has no processes that could be signalled.
        with contextlib.suppress(OSError):
            self._control.send(json.dumps({"pid": pid, "signal": number}).encode())

    def close(self) -> None:
        """End it and wait until it has gone. Raises RemoteError when it does not go."""
        self._control.close()
        if self.keeper.poll() is not None and not os.path.exists(self.directory):
            return
        try:
            self.keeper.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.keeper.kill()  # takes the inner process along, by its parent-death signal
            self.keeper.wait()
            raise RemoteError(f"the target did not end in {TIMEOUT:g} s; killed") from None
        finally:
            workplace.clear(self.directory)


class _Copy:
    """A holder that is a fork of this process; in what it does here like a Popen."""

    def __init__(self, closed: Sequence[int], wanted: Mapping[str, Any]) -> None:
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.setsid()
                for descriptor in closed:
                    os.close(descriptor)
                holder.main(json.dumps(wanted))
            except SystemExit:
                status = 0
            finally:
                if status:
                    sys.excepthook(*sys.exc_info())
                os._exit(status)
        self._watched = os.pidfd_open(self.pid)

    def poll(self) -> int | None:
        """Return its status when it has ended."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
                os.close(self._watched)
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raises subprocess.TimeoutExpired."""
        if self.poll() is None:
            poller = select.poll()
            poller.register(self._watched, select.POLLIN)
            poller.poll(None if timeout is None else timeout * 1000)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired("holder", timeout or 0.0)
        return status

    def kill(self) -> None:
        """Kill it, unless it has been seen to end."""
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)


def environment(workdir: str) -> dict[str, str]:
    """Return this process's environment, with its temporary files and home in the target."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
    temporary, home = (os.path.join(workdir, name) for name in holder.PRIVATE)
    return {**kept, "TMPDIR": temporary, "HOME": home}


def _map_ids(pid: int) -> list[str]:
    """Map root and the subordinate ids into the user namespace of ``pid``.

    Returns why that could not be done; empty when it was.
    """
    for tool, own, table in (
        ("newuidmap", os.geteuid(), "/etc/subuid"),
        ("newgidmap", os.getegid(), "/etc/subgid"),
    ):
        subordinate = _subordinate(table)
        program = shutil.which(tool)
        if subordinate is None or program is None:
            what = f"no entry in {table}" if program else f"{tool} is not installed (uidmap)"
            return [f"only one id is mapped: {what}"]
        first, count = subordinate
        done = subprocess.run(
            [program, str(pid), "0", str(own), "1", "1", str(first), str(count)],
            capture_output=True, check=False, timeout=TIMEOUT, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            return [f"only one id is mapped: {done.stderr.strip()}"]
    return []


def _subordinate(table: str) -> tuple[int, int] | None:
    """Return the first range of this user (subuid(5)): its start and its length."""
    uid = os.getuid()
    names = {str(uid)}
    with contextlib.suppress(KeyError):
        names.add(pwd.getpwuid(uid).pw_name)
    try:
        with open(table, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, numbers = line.partition(":")
        first, _, count = numbers.partition(":")
        if name in names and first.isdigit() and count.isdigit():
            return int(first), int(count)
    return None
