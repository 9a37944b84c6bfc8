"""ZFS through the ``zfs`` command: a process for each operation, with a time limit.

What channel programs can do is done by them, for exact error numbers; the rest is told by texts.
Source: zfs(8) and the pages of its subcommands.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping
from typing import Final

from layerfs.zfs import process, programs, texts
from layerfs.zfs.failure import ZFS_ERR_BADPROP, ZfsFailure
from layerfs.zfs.operations import Operations
from layerfs.zfs.properties import Setting

_SECONDS: Final = 300.0
#: Of a stream, which may be waiting for its other end.
_STREAM_SECONDS: Final = 24 * 3600.0
_VAGUE: Final = {errno.EPROTO, errno.EINVAL, ZFS_ERR_BADPROP}
_BEFORE: Final = '{"return":"'
_AFTER: Final = '"}'


class Command(Operations):
    """The way through the ``zfs`` command. Threads may share one."""

    name = "command"

    def __init__(
        self, path: str, *, seconds: float = _SECONDS, stream_seconds: float = _STREAM_SECONDS
    ) -> None:
        self._path = path
        self._seconds = seconds
        self._stream_seconds = stream_seconds

    @classmethod
    def open(cls) -> Command:
        """Find the command. OSError: there is none, or /dev/zfs cannot be opened."""
        path = process.find("zfs")
        if path is None:
            raise FileNotFoundError(errno.ENOENT, "no such command in PATH", "zfs")
        os.close(os.open("/dev/zfs", os.O_RDWR | os.O_CLOEXEC))
        return cls(path)

    def _create(self, dataset: str, properties: Mapping[str, Setting]) -> None:
        self._do("create", dataset, ["-u", *_options(properties), "--", dataset])

    def _clone(self, snapshot: str, dataset: str, properties: Mapping[str, Setting]) -> None:
        self._do("clone", dataset, [*_options(properties), "--", snapshot, dataset])

    def _rename(self, dataset: str, to: str) -> None:
        self._do("rename", dataset, ["-u", "--", dataset, to])

    def _promote(self, dataset: str) -> None:
        pool = dataset.partition("/")[0]
        self._change(pool, programs.PROMOTE, [dataset], "promote", dataset)

    def _destroy(self, dataset: str) -> None:
        # Not `zfs destroy`, which unmounts.
        pool = dataset.partition("/")[0]
        self._change(pool, programs.DESTROY, [dataset], "destroy", dataset)

    def _snapshot(self, snapshots: list[str], properties: dict[str, str]) -> None:
        options = [part for item in properties.items() for part in ("-o", "=".join(item))]
        done = self._zfs(["snapshot", *options, "--", *snapshots])
        _check(done, "snapshot", texts.named(done.errors, snapshots))

    def _hold(self, snapshot: str, tag: str) -> None:
        self._do("hold", snapshot, ["--", tag, snapshot])

    def _release(self, snapshot: str, tag: str) -> None:
        self._do("release", snapshot, ["--", tag, snapshot])

    def _send(self, snapshot: str, fd: int, from_: str | None) -> None:
        begin = [] if from_ is None else ["-i", from_]
        arguments = ["send", *begin, "--", snapshot]
        _check(self._zfs(arguments, stdout=fd, seconds=self._stream_seconds), "send", snapshot)

    def _receive(
        self, snapshot: str, fd: int, properties: Mapping[str, Setting], origin: str | None
    ) -> None:
        of = [] if origin is None else ["-o", f"origin={origin}"]
        arguments = ["receive", "-u", *of, *_options(properties), "--", snapshot]
        done = self._zfs(arguments, stdin=fd, seconds=self._stream_seconds)
        _check(done, "receive", snapshot)
        if done.errors:  # a property that could not be set does not change the exit status
            raise _failure(done.errors, "receive", snapshot)

    def _exists(self, name: str) -> bool:
        done = self._zfs(["list", "-H", "-o", "name", "-t", "all", "--", name])
        if done.status and texts.number(done.errors) == errno.ENOENT:
            return False
        _check(done, "list", name)
        return True

    def _run(self, pool: str, program: str, arguments: list[str], *, changes: bool) -> str:
        limits = ["-t", str(programs.INSTRUCTIONS), "-m", str(programs.MEMORY)]
        mode = "-j" if changes else "-jn"
        done = self._zfs(
            ["program", mode, *limits, "--", pool, "-", *arguments], stdin=program.encode()
        )
        if done.status:
            number = texts.of_program(done.errors)
            text = done.errors.partition("stack traceback")[0] if number == errno.ECHRNG else ""
            raise ZfsFailure(number, operation="program", name=pool, text=text)
        answer = done.output.decode("ascii", errors="replace").strip()
        if not (answer.startswith(_BEFORE) and answer.endswith(_AFTER)):
            text = f"the answer of a channel program is {answer[:80]!r}"
            raise ZfsFailure(errno.EPROTO, operation="program", name=pool, text=text)
        return answer[len(_BEFORE) : -len(_AFTER)]

    def _do(self, operation: str, name: str, arguments: list[str]) -> None:
        _check(self._zfs([operation, *arguments]), operation, name)

    def _zfs(
        self,
        arguments: list[str],
        *,
        stdin: int | bytes = b"",
        stdout: int | None = None,
        seconds: float | None = None,
    ) -> process.Done:
        limit = self._seconds if seconds is None else seconds
        try:
            return process.run(self._path, arguments, stdin=stdin, stdout=stdout, seconds=limit)
        except OSError as error:
            told = f"after {limit:.0f} s" if isinstance(error, TimeoutError) else error.strerror
            number = error.errno or errno.EIO
            raise ZfsFailure(
                number, operation=arguments[0], name=arguments[-1], text=f"zfs command: {told}"
            ) from error


def _options(properties: Mapping[str, Setting]) -> list[str]:
    return [
        part for name, setting in properties.items() for part in ("-o", f"{name}={setting.text}")
    ]


def _check(done: process.Done, operation: str, name: str) -> None:
    if done.status < 0:
        number = errno.EPIPE if done.status == -signal.SIGPIPE else errno.EINTR
        text = f"the zfs command was ended by signal {-done.status}"
        raise ZfsFailure(number, operation=operation, name=name, text=text)
    if done.status:
        raise _failure(done.errors, operation, name)


def _failure(errors: str, operation: str, name: str) -> ZfsFailure:
    number = texts.number(errors)
    # The same words by both ways, but where the number says little.
    text = texts.told(errors) if number in _VAGUE else ""
    return ZfsFailure(number, operation=operation, name=name, text=text)
