"""What all remotes share that give a command's streams and fate as descriptors of this process.

A remote of a kind only says how such a command is begun and how it is signalled, and takes itself
away: everything else that :class:`harness.remote.Remote` promises is here and in
:mod:`harness.pipes`, once.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from harness.errors import RemoteError, RemoteTimeoutError
from harness.pipes import PipeChannel
from harness.remote import Completed
from harness.site import Streams

#: Seconds for a file transfer: so many, and one more for each of so many bytes.
_TRANSFER: Final = 60.0
_BYTES_A_SECOND: Final = 512 * 1024


class PipeRemote(ABC):
    """A :class:`harness.remote.Remote` but for ``python``, ``name``, ``facts`` and ``close``.

    ``patience``: seconds that the transport may be silent before it is taken for dead.
    """

    patience = 30.0
    workdir: str
    _environment: Mapping[str, str]

    def __init__(self) -> None:
        self._live: set[int] = set()
        self._lock = threading.Lock()

    @abstractmethod
    def _begin(self, request: Mapping[str, Any]) -> Streams:
        """Begin a command (:mod:`harness.agent`). Raises RemoteError."""

    @abstractmethod
    def _signal(self, pid: int, number: int) -> None:
        """Signal the process group of a command that still runs; else nothing."""

    @property
    @abstractmethod
    def _obituary(self) -> str:
        """Why the target has died, when it has."""

    @abstractmethod
    def close(self) -> None:
        """End all that was started and remove the target. May be called twice."""

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> PipeChannel:
        """Start a command in the target; see Remote for the errors."""
        return self._start(
            {
                "argv": list(argv),
                "env": {**self._environment, **(env or {})},
                "cwd": cwd or self.workdir,
            }
        )

    def _start(self, request: Mapping[str, Any]) -> PipeChannel:
        streams = self._begin(request)
        try:
            process = _Fate(self, streams.fate)
        except BaseException:
            for descriptor in streams:
                os.close(descriptor)
            raise
        with self._lock:
            self._live.add(process.pid)
        return PipeChannel(process, streams.stdin, streams.stdout, streams.stderr)

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
        """Write a file in the target; its digest is compared. Raises RemoteError."""
        digest = hashlib.sha256(data).hexdigest()
        told, _ = self._transfer({"put": path}, path, data)
        if told["sha256"] != digest:
            raise RemoteError(f"cannot transfer {path}: it has another digest there")

    def get(self, path: str) -> bytes:
        """Read a file of the target; its digest is compared. Raises RemoteError."""
        told, data = self._transfer({"get": path}, path, b"")
        if told["sha256"] != hashlib.sha256(data).hexdigest():
            raise RemoteError(f"cannot transfer {path}: it has another digest here")
        return data

    def _transfer(
        self, wanted: Mapping[str, str], path: str, data: bytes
    ) -> tuple[dict[str, Any], bytes]:
        # Nobody knows beforehand how much there is to get; there is a limit to what is taken.
        timeout = _TRANSFER + (len(data) / _BYTES_A_SECOND if "put" in wanted else _TRANSFER)
        with self._start({"transfer": dict(wanted)}) as channel:
            done = channel.finish(data, timeout=timeout)
        if done.truncated:
            raise RemoteError(f"cannot transfer {path}: it is too long")
        try:
            told: dict[str, Any] = json.loads(done.stderr)
        except ValueError:
            said = done.stderr.decode("utf-8", "replace").strip() or f"status {done.status}"
            raise RemoteError(f"cannot transfer {path}: {said}") from None
        if "errno" in told:
            raise RemoteError(f"cannot transfer {path}: {told['errno'][1]}")
        return told, done.stdout

    def pids(self) -> frozenset[int]:
        """Return what was started here and still runs, by its number in the target."""
        with self._lock:
            return frozenset(self._live)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget(self, pid: int) -> None:
        with self._lock:
            self._live.discard(pid)


class _Fate:
    """A command of the target (:class:`harness.pipes.Process`), by the lines on its fate's pipe."""

    def __init__(self, remote: PipeRemote, fate: int) -> None:
        self._remote = remote
        self._fate = fate
        self._told = b""
        self.patience = remote.patience
        poller = select.poll()
        poller.register(fate, select.POLLIN)
        while b"\n" not in self._told:
            if not poller.poll(remote.patience * 1000):
                raise RemoteError(f"the target started nothing in {remote.patience:g} s")
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
            raise RemoteError(self._remote._obituary)  # noqa: SLF001
        self._told += data

    def _next(self) -> dict[str, Any]:
        line, _, self._told = self._told.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said
