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

import os
import site as python_site
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from harness.errors import RemoteError
from harness.pipe_remote import PipeRemote
from harness.site import Site, Streams, environment

_COVER: Final = ("/dev/shm", "/run")  # noqa: S108 - what may be there is hidden, not used


class LocalRemote(PipeRemote):
    """A :class:`harness.remote.Remote` to a fresh local target.

    The constructor makes the target; it raises TargetError, with a remedy, when this machine does
    not permit it, and leaves nothing then.
    """

    name = "local"
    installs: str | None = None
    _obituary = "the local target has died"

    def __init__(self) -> None:
        super().__init__()
        self.python = sys.executable
        parent = tempfile.gettempdir()
        package = str(Path(__file__).resolve().parent.parent)
        self._site = Site(parent, package=package, cover=_coverable(parent))
        self.workdir = self._site.workdir
        self.facts: Mapping[str, Any] = {"target": self.name, **self._site.facts}
        surroundings = environment(self.workdir)
        if python_site.ENABLE_USER_SITE:  # what pip install --user brought stays importable
            surroundings.setdefault("PYTHONUSERBASE", python_site.getuserbase())
        self._environment = surroundings

    def _begin(self, request: Mapping[str, Any]) -> Streams:
        try:
            return self._site.start(request)
        except OSError as error:
            raise RemoteError(f"the local target has gone: {error.strerror}") from None

    def _signal(self, pid: int, number: int) -> None:
        self._site.signal(pid, number)

    def close(self) -> None:
        """End the target and wait until it has gone. Raises RemoteError when it does not go."""
        self._site.close()


def _coverable(parent: str) -> list[str]:
    """Return which of /dev/shm and /run can be hidden: on NixOS all programs are below /run."""
    needed = [parent, str(Path.cwd()), sys.executable, sys.prefix, sys.base_prefix, *sys.path]
    needed += os.environ.get("PATH", "").split(":")
    real = [os.path.realpath(path) for path in needed if path]
    return [
        path for path in _COVER
        if os.path.isdir(path) and not any(f"{one}/".startswith(f"{path}/") for one in real)
    ]  # fmt: skip
