"""The ``local`` target: disposable namespaces on this machine, for root and for anyone else.

What is made (see :mod:`harness.holder`): a mount namespace with private propagation; a pid
namespace with its own /proc where that is permitted; for an ordinary user, a user namespace in
which that user is root, with the subordinate ids of /etc/subuid where newuidmap(1) gives them. The
rest of the machine is read-only in there, so that not even a subject that escapes its store can
change it; ``workdir`` is a private tmpfs (or a directory on disk, where tmpfs cannot bear what
overlayfs needs), with TMPDIR and HOME inside.

Everything vanishes with the holder, and the holder with this process, also when it is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import select
import shutil
import site
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from harness.errors import RemoteError, RemoteTimeoutError, TargetError
from harness.pipes import PipeChannel
from harness.remote import Completed

_PREFIX: Final = "layerfs-target-"
#: Seconds that the holder has for making, and for taking away, the namespaces.
_TIMEOUT: Final = 30.0
_COVER: Final = ("/dev/shm", "/run")  # noqa: S108 - what may be there is hidden, not used
_BOOTSTRAP: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from harness.holder import main; main(sys.argv[2])"
)
#: Variables that would make a subject write where it cannot, or speak of this process.
_DROPPED: Final = ("PYTEST_", "COV_CORE_", "COVERAGE_PROCESS_", "XDG_", "TMP", "TEMP")


class LocalRemote:
    """A :class:`harness.remote.Remote` to a fresh local target.

    The constructor makes the target; it raises TargetError, with a remedy, when this machine does
    not permit it, and leaves nothing then.
    """

    name = "local"

    def __init__(self) -> None:
        self.python = sys.executable
        _sweep()
        self.workdir, lock = _make_directory()
        self._live: dict[int, _LocalProcess] = {}
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ready, ready_theirs = socket.socketpair()
        wanted = {
            "control": theirs.fileno(), "ready": ready_theirs.fileno(), "workdir": self.workdir,
            "user_namespace": os.geteuid() != 0, "cover": _coverable(self.workdir), "protect": True,
        }  # fmt: skip
        package_root = str(Path(__file__).resolve().parent.parent)
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, package_root, json.dumps(wanted)],
            pass_fds=(theirs.fileno(), ready_theirs.fileno(), lock),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the harness, which then ends the target
        )
        os.close(lock)
        theirs.close()
        ready_theirs.close()
        try:
            self.facts: Mapping[str, Any] = self._handshake(ready)
            self._environment = _environment(self.workdir)
            for name in ("TMPDIR", "HOME"):
                self.run(["mkdir", "-p", self._environment[name]], timeout=_TIMEOUT, cwd="/")
        except BaseException:
            self.close()
            raise
        finally:
            ready.close()

    def _handshake(self, ready: socket.socket) -> dict[str, Any]:
        """Wait until the target is made, mapping the ids when the keeper asks for it."""
        ready.settimeout(_TIMEOUT)
        ids: list[str] = []
        with ready.makefile("rb") as lines:
            while True:
                try:
                    line = lines.readline()
                except TimeoutError:
                    raise TargetError(f"the target was not made in {_TIMEOUT:g} s") from None
                if not line:
                    raise TargetError("the holder of the namespaces died while making them")
                said = json.loads(line)
                if "error" in said:
                    raise TargetError(said["error"])
                if "unshared" not in said:
                    said["notes"] += ids
                    return {"target": self.name, **said}
                ids = _map_ids(self._keeper.pid)
                ready.sendall(b"0" if ids else b"1")

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> PipeChannel:
        """Start a command in the target; see Remote for the errors."""
        request = json.dumps(
            {
                "argv": list(argv),
                "env": {**self._environment, **(env or {})} if env else self._environment,
                "cwd": cwd or self.workdir,
            }
        )
        with contextlib.ExitStack() as theirs:
            memory = os.memfd_create("request", os.MFD_CLOEXEC)
            theirs.callback(os.close, memory)
            os.write(memory, request.encode())
            os.lseek(memory, 0, os.SEEK_SET)
            fate, fate_theirs = os.pipe()
            theirs.callback(os.close, fate_theirs)
            stdin_theirs, stdin = os.pipe()
            theirs.callback(os.close, stdin_theirs)
            stdout, stdout_theirs = os.pipe()
            theirs.callback(os.close, stdout_theirs)
            stderr, stderr_theirs = os.pipe()
            theirs.callback(os.close, stderr_theirs)
            ours = (fate, stdin, stdout, stderr)
            try:
                socket.send_fds(
                    self._control,
                    [b"start"],
                    [memory, fate_theirs, stdin_theirs, stdout_theirs, stderr_theirs],
                )
            except OSError as error:
                _close(ours)
                raise RemoteError(f"the local target has gone: {error.strerror}") from None
        try:
            process = _LocalProcess(self, fate)
        except BaseException:
            _close(ours)
            raise
        with self._lock:
            self._live[process.pid] = process
        return PipeChannel(process, stdin, stdout, stderr)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 60.0,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        """Run a command in the target to its end; see Remote for the errors."""
        with self.start(argv, env=env, cwd=cwd) as channel:
            try:
                return channel.finish(stdin, timeout=timeout)
            except RemoteTimeoutError as late:
                raise RemoteTimeoutError(
                    f"{argv[0]}: {late}", stdout=late.stdout, stderr=late.stderr
                ) from None

    def put(self, data: bytes, path: str) -> None:
        """Write a file in the target. Raises RemoteError."""
        self._cat('cat > "$0"', path, data)

    def get(self, path: str) -> bytes:
        """Read a file of the target, of any size. Raises RemoteError."""
        return self._cat('cat < "$0"', path, b"")

    def _cat(self, script: str, path: str, data: bytes) -> bytes:
        done = self.run(["sh", "-c", script, path], stdin=data, timeout=_TIMEOUT)
        if done.status != 0 or done.truncated:
            why = "it is too long" if done.truncated else done.stderr.decode("utf-8", "replace")
            raise RemoteError(f"cannot transfer {path}: {why.strip()}")
        return done.stdout

    def pids(self) -> frozenset[int]:
        """Return what was started here and still runs, by its number in the target."""
        with self._lock:
            return frozenset(self._live)

    def close(self) -> None:
        """End the target and wait until it has gone. Raises RemoteError when it does not go."""
        self._control.close()
        if self._keeper.poll() is not None and not Path(self.workdir).exists():
            return
        try:
            self._keeper.wait(_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._keeper.kill()  # takes the inner process along, by its parent-death signal
            self._keeper.wait()
            raise RemoteError(f"the local target did not end in {_TIMEOUT:g} s; killed") from None
        finally:
            _remove(self.workdir)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _signal(self, pid: int, number: int) -> None:
        # A target that has gone has no processes that could be signalled.
        with contextlib.suppress(OSError):
            self._control.send(json.dumps({"pid": pid, "signal": number}).encode())

    def _forget(self, pid: int) -> None:
        with self._lock:
            self._live.pop(pid, None)


class _LocalProcess:
    """A command of the target; its fate arrives as JSON lines on a pipe."""

    def __init__(self, remote: LocalRemote, fate: int) -> None:
        self._remote = remote
        self._fate = fate
        self._told = b""
        poller = select.poll()
        poller.register(fate, select.POLLIN)
        while b"\n" not in self._told:
            if not poller.poll(_TIMEOUT * 1000):
                raise RemoteError(f"the local target started nothing in {_TIMEOUT:g} s")
            self._hear()
        said = self._next()
        if "error" in said:
            number, text, path = said["error"]
            raise OSError(number, text, path)
        self.pid: int = said["pid"]

    def fileno(self) -> int:
        return self._fate

    def reap(self) -> int:
        while b"\n" not in self._told:
            self._hear()
        self._remote._forget(self.pid)  # noqa: SLF001 - one class in two halves
        status: int = self._next()["status"]
        return status

    def signal(self, number: int) -> None:
        self._remote._signal(self.pid, number)  # noqa: SLF001

    def close(self) -> None:
        self._remote._forget(self.pid)  # noqa: SLF001
        os.close(self._fate)

    def _hear(self) -> None:
        data = os.read(self._fate, 4096)
        if not data:
            raise RemoteError("the local target has died")
        self._told += data

    def _next(self) -> dict[str, Any]:
        line, _, self._told = self._told.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said


# --- the work directory --------------------------------------------------------------------------


def _make_directory() -> tuple[str, int]:
    """Make the directory that becomes the work directory, and lock it for as long as it lives."""
    while True:
        directory = os.path.realpath(tempfile.mkdtemp(prefix=_PREFIX))
        lock = _lock(directory)
        if lock is not None:
            return directory, lock


def _lock(directory: str) -> int | None:
    """Return a descriptor that holds the directory's lock; None when another has it, or it."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(directory, follow_symlinks=False)):
            return descriptor
    except OSError:  # locked by its keeper, or swept away in between
        pass
    os.close(descriptor)
    return None


def _sweep() -> None:
    """Remove our own directories whose keeper was killed before it could."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Another run ends, or sweeps, at the same time: what it removed needs no sweeping.
        with contextlib.suppress(FileNotFoundError):
            if directory.lstat().st_uid != os.geteuid():
                continue
            lock = _lock(str(directory))
            if lock is not None:
                _remove(str(directory))
                os.close(lock)


def _remove(directory: str) -> None:
    # Files of subordinate ids cannot be removed from outside their user namespace; the next holder
    # could not either. Nobody is harmed by an old directory in TMPDIR.
    shutil.rmtree(directory, ignore_errors=True)


# --- surroundings --------------------------------------------------------------------------------


def _coverable(workdir: str) -> list[str]:
    """Return which of /dev/shm and /run can be hidden: on NixOS all programs are below /run."""
    needed = [workdir, str(Path.cwd()), sys.executable, sys.prefix, sys.base_prefix, *sys.path]
    needed += os.environ.get("PATH", "").split(":")
    real = [os.path.realpath(path) for path in needed if path]
    return [
        path for path in _COVER
        if os.path.isdir(path) and not any(f"{one}/".startswith(f"{path}/") for one in real)
    ]  # fmt: skip


def _environment(workdir: str) -> dict[str, str]:
    """Return this process's environment, with its temporary files and home in the target."""
    kept = {
        name: value for name, value in os.environ.items()
        if not name.startswith(_DROPPED) or name == "TMPDIR"
    }  # fmt: skip
    if site.ENABLE_USER_SITE:  # what was installed with pip install --user stays importable
        kept.setdefault("PYTHONUSERBASE", site.getuserbase())
    return {**kept, "TMPDIR": os.path.join(workdir, "tmp"), "HOME": os.path.join(workdir, "home")}


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
            capture_output=True, check=False, timeout=_TIMEOUT, text=True,
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
        lines = Path(table).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, numbers = line.partition(":")
        first, _, count = numbers.partition(":")
        if name in names and first.isdigit() and count.isdigit():
            return int(first), int(count)
    return None


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
