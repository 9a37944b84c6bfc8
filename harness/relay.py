"""Runs on a host that is not the harness's own: makes a target there, and joins it to the link.

:mod:`harness.link` sends it with all that it imports, and starts it with a bare python3; nothing is
installed. As root the commands run on the host itself, which is there for nothing else; as another
user they run in namespaces, as on the harness's own machine. It ends with its link, and takes away
all that it has made and started. Standard library only and fit for Python 3.9.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any, Final, NoReturn

from harness import agent, kernel, workplace
from harness.errors import RemoteError
from harness.mux import FAREWELL, HELLO, OPEN, SIGNAL, STDERR, STDIN, STDOUT, TOLD, LinkError, Mux
from harness.site import Site, environment

#: The modules that this one needs on the host, itself included.
MODULES: Final = (
    "agent", "census", "errors", "holder", "kernel", "mux", "pools", "probes", "relay", "site",
    "transfer", "treewalk", "workplace", "zfstool",
)  # fmt: skip
#: Where targets are made: on disk, so that they outlive nothing, and away from what /tmp clears.
PARENT: Final = "/var/tmp"  # noqa: S108 - each target has a directory of its own there
#: What subjects need stays there from one target to the next, where commands run on the host.
INSTALLS: Final = "/var/lib/layerfs-conformance"
#: Where programs are, for users whose PATH has not all of it.
_PATHS: Final = (
    "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin",
)  # fmt: skip
_PING: Final = 20.0
#: The harness may be stopped for a while. That its machine has gone is noticed in the end.
_SILENCE: Final = 900.0
_CHUNK: Final = 256 * 1024


class _Fate:
    """A command's fate on its way: the status waits until what was written before has passed."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.told = b""
        self.status = b""
        self.marks: list[tuple[int, int, int]] = []


class Relay(Mux):
    """The host's end of the link."""

    def __init__(self, site: Site | None, read_from: int, write_to: int) -> None:
        super().__init__(
            read_from, lambda: os.read(read_from, _CHUNK), write_to, ping=_PING, silence=_SILENCE
        )
        self._site = site
        self._fates: dict[int, _Fate] = {}

    def other(self, kind: int, number: int, payload: bytes) -> None:
        """Start or signal a command."""
        wanted = json.loads(payload)
        assert self._site is not None
        if kind == SIGNAL:
            self._site.signal(wanted["pid"], wanted["signal"])
        elif kind == OPEN:
            try:
                streams = self._site.start(wanted)
            except OSError as error:
                raise LinkError(f"the target has gone: {error.strerror}") from None
            self.write_from_link(number, STDIN, streams.stdin)
            self.read_into_link(number, STDOUT, streams.stdout)
            self.read_into_link(number, STDERR, streams.stderr)
            self._fates[streams.fate] = _Fate(number)
        else:
            super().other(kind, number, payload)

    def watched(self) -> list[int]:
        """Return the fates of which more will be told."""
        return [descriptor for descriptor, fate in self._fates.items() if not fate.status]

    def readable(self, descriptor: int) -> None:
        """Tell that a command has been started, or not; keep its status for :meth:`settle`."""
        fate = self._fates[descriptor]
        data = os.read(descriptor, 4096)
        if not data:
            raise LinkError("the target has died")
        *lines, fate.told = (fate.told + data).split(b"\n")
        for line in lines:
            if b'"status"' in line:
                fate.status, fate.marks = line, self.marks(fate.number)
            else:
                self.send(TOLD, fate.number, payload=line)
                if b'"error"' in line:
                    self._forget(descriptor)

    def settle(self) -> None:
        """Tell the status of commands whose output has all been sent."""
        for descriptor, fate in list(self._fates.items()):
            if fate.status and self.passed(fate.marks):
                self.send(TOLD, fate.number, payload=fate.status)
                self._forget(descriptor)

    def say(self, kind: int, what: dict[str, Any]) -> None:
        """Send one frame that is not about a command."""
        self.send(kind, 0, payload=json.dumps(what).encode())

    def _forget(self, descriptor: int) -> None:
        del self._fates[descriptor]
        os.close(descriptor)


class _Last(Relay):
    """An end that only has something to say, and ends when that has been sent."""

    def is_over(self) -> bool:
        return True


def main(settings: str) -> None:
    """Serve until the link ends.

    ``settings``, in JSON: ``python``, the subject's interpreter, or several of which the first that
    is there is taken; ``marker``, a file without which nothing is done, or empty.
    """
    # Whatever else writes to standard output must not get between the frames.
    read_from, write_to = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    wanted = json.loads(settings)
    if wanted["marker"] and not os.path.exists(wanted["marker"]):
        _end(read_from, write_to, {"no_marker": wanted["marker"]})
    os.umask(0o022)
    paths = [path for path in os.environ.get("PATH", "").split(":") if path]
    paths += [path for path in _PATHS if path not in paths]
    os.environ["PATH"] = ":".join(paths)
    direct = os.geteuid() == 0
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # should the keeper be killed
    try:
        site = Site(PARENT, forked=[read_from, write_to], direct=direct, protect=not direct)
    except RemoteError as error:
        _end(read_from, write_to, {"error": str(error)})
    relay = Relay(site, read_from, write_to)
    pythons = filter(None, map(shutil.which, wanted["python"]))
    relay.say(HELLO, {
        "facts": site.facts,
        "workdir": site.workdir,
        "installs": INSTALLS if direct else f"{site.workdir}/installed",
        "environment": environment(site.workdir),
        "python": next(pythons, None),
    })  # fmt: skip
    farewell = ""
    try:
        relay.serve()
    except LinkError as error:
        farewell = str(error)
    relay.close_pipes()
    try:
        site.close()
    finally:
        agent.kill_descendants()
        workplace.clear(site.directory)
    if farewell:
        _end(read_from, write_to, {"error": farewell}, kind=FAREWELL)


def _end(read_from: int, write_to: int, what: dict[str, Any], kind: int = HELLO) -> NoReturn:
    """Say one last thing, and end this process as one that has failed."""
    last = _Last(None, read_from, write_to)
    last.say(kind, what)
    last.serve()
    sys.exit(1)
