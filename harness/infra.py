"""testinfra over a Remote: its modules (file, mount_point, process, sysctl …) on any target."""

from __future__ import annotations

from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from harness.remote import Remote

#: Seconds for one command of a testinfra module.
TIMEOUT = 60.0


class RemoteBackend(BaseBackend):  # type: ignore[misc]  # testinfra is untyped
    """A testinfra backend; its commands are shell lines, as everywhere in testinfra."""

    NAME = "layerfs-conformance"

    def __init__(self, remote: Remote) -> None:
        super().__init__(remote.name)
        self._remote = remote

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        """Run a shell line with ``args`` quoted into it. Raises as :meth:`Remote.run`."""
        line = self.get_command(command, *args)
        done = self._remote.run(["sh", "-c", line], timeout=TIMEOUT)
        return self.result(done.status, line.encode(), done.stdout, done.stderr)

    def get_encoding(self) -> str:
        """Return UTF-8: what is not text is not looked at through testinfra."""
        return "utf-8"


def connect(remote: Remote) -> Host:
    """Return a testinfra host on ``remote``; it holds nothing that would have to be closed."""
    return Host(RemoteBackend(remote))
