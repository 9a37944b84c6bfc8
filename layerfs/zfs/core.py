"""ZFS through libzfs_core: a call of a foreign function for each operation, no process started.

Source: libzfs_core.h and the comments in libzfs_core.c; zfs-program(8).
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Mapping
from typing import Any

from layerfs.zfs import programs, texts
from layerfs.zfs.failure import ZfsFailure
from layerfs.zfs.library import Library
from layerfs.zfs.operations import Operations
from layerfs.zfs.properties import Setting
from layerfs.zfs.stream import begin_record, is_raw


class Core(Operations):
    """The way through libzfs_core. Threads may share one."""

    name = "libzfs_core"

    def __init__(self, library: Library) -> None:
        self._library = library

    @classmethod
    def open(cls) -> Core:
        """Load the library and open /dev/zfs. OSError: one of them is not there, or not for us."""
        return cls(Library.load())

    def _create(self, dataset: str, properties: Mapping[str, Setting]) -> None:
        _check(self._library.create(dataset, _kernel(properties)), "create", dataset)

    def _clone(self, snapshot: str, dataset: str, properties: Mapping[str, Setting]) -> None:
        number = self._library.clone(dataset, snapshot, _kernel(properties))
        _check(number, "clone", dataset)

    def _rename(self, dataset: str, to: str) -> None:
        _check(self._library.rename(dataset, to), "rename", dataset)

    def _promote(self, dataset: str) -> None:
        number, conflict = self._library.promote(dataset)
        _check(number, "promote", f"{dataset}@{conflict}" if conflict else dataset)

    def _destroy(self, dataset: str) -> None:
        _check(self._library.destroy(dataset), "destroy", dataset)

    def _snapshot(self, snapshots: list[str], properties: dict[str, str]) -> None:
        number, errors = self._library.snapshot(dict.fromkeys(snapshots), properties)
        _check_each(number, errors, "snapshot", snapshots[0])

    def _hold(self, snapshot: str, tag: str) -> None:
        number, errors = self._library.hold({snapshot: tag})
        _check_each(number, errors, "hold", snapshot)

    def _release(self, snapshot: str, tag: str) -> None:
        number, errors = self._library.release({snapshot: {tag: None}})
        # "pool/a@b#tag" tells that there is no such hold, and has ENOENT; libzfs calls it ESRCH.
        missing = errno.ESRCH if f"{snapshot}#{tag}" in errors else number
        _check(missing or next(iter(errors.values()), 0), "release", snapshot)

    def _send(self, snapshot: str, fd: int, from_: str | None) -> None:
        _check(self._library.send(snapshot, from_, fd), "send", snapshot)

    def _receive(
        self, snapshot: str, fd: int, properties: Mapping[str, Setting], origin: str | None
    ) -> None:
        begin = begin_record(fd, snapshot)
        number, errors = self._library.receive(
            snapshot, _kernel(properties), origin, fd, begin, raw=is_raw(begin)
        )
        _check_each(number, errors, "receive", snapshot)

    def _exists(self, name: str) -> bool:
        return self._library.exists(name)

    def _run(self, pool: str, program: str, arguments: list[str], *, changes: bool) -> str:
        limits = (programs.INSTRUCTIONS, programs.MEMORY)
        # A signal stops a program where it is, and Python's handler would run no sooner anyway.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            number, answer = self._library.channel_program(
                pool, program, {"argv": arguments}, limits, syncing=changes
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if number:
            raise _program_failure(number, str(answer.get("error", "")), pool)
        returned: str = answer["return"]
        return returned


def _kernel(properties: Mapping[str, Setting]) -> dict[str, Any]:
    return {name: setting.kernel for name, setting in properties.items()}


def _check(number: int, operation: str, name: str) -> None:
    if number:
        raise ZfsFailure(number, operation=operation, name=name)


def _check_each(number: int, errors: dict[str, Any], operation: str, name: str) -> None:
    for failed, found in errors.items():
        raise ZfsFailure(found, operation=operation, name=failed if "/" in failed else name)
    _check(number, operation, name)


def _program_failure(number: int, error: str, pool: str) -> ZfsFailure:
    if number == errno.ENOSPC:  # of the memory limit, not of the pool: libzfs_core.c
        number = errno.ENOMEM
    if number == errno.ECHRNG:
        number = texts.program_pool(error) or number
    text = error.partition("stack traceback")[0] if number == errno.ECHRNG else ""
    return ZfsFailure(number, operation="program", name=pool, text=text)
