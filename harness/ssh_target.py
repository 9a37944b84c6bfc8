"""The target ``ssh:INVENTORY``: for each process that runs cases, one of the hosts of a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness import inventory
from harness.address import Address
from harness.errors import TargetError
from harness.fabric_remote import FabricRemote
from harness.filelock import FileLock
from harness.remote import Remote
from harness.target import Step


class Source:
    """This process's hosts: one at a time, and the same one for as long as it can be had.

    When a host dies, the next target is made on another one that nobody uses, if there is any.
    """

    def __init__(self, path: str) -> None:
        self._hosts = inventory.load(Path(path))
        self._last: Address | None = None

    def connect(self, make_ready: Callable[[Remote], object]) -> Remote:  # noqa: ARG002
        """Return a remote to a fresh target on a host, which it gives back when it is closed.

        Nothing can be saved there, so that ``make_ready`` is not called. Raises TargetError.
        """
        if self._last is None:
            return self._open(*inventory.lease(self._hosts))
        others = [host for host in self._hosts if host != self._last]
        try:
            return self._open(*inventory.lease([self._last]))
        except TargetError as error:
            try:
                found = inventory.lease(others, wait=0.0)
            except TargetError:
                raise error from None
        return self._open(*found)

    def keep(self, remote: Remote, what: str) -> bool:  # noqa: ARG002
        """Return False: a host is not set aside, since others are waiting for it."""
        return False

    def steps(self) -> list[Step]:
        """Return nothing: a host is there already."""
        return []

    def close(self) -> None:
        """Nothing is kept between two targets."""

    def _open(self, host: Address, lock: FileLock) -> Remote:
        try:
            remote = FabricRemote(host, marker=inventory.MARKER, released=lock.release)
        except BaseException:
            lock.release()
            raise
        self._last = host
        return remote
