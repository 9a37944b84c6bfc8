"""From the word given as ``--target`` to a transport: the one place that knows every kind.

A word is a kind, or ``KIND:ARGUMENT``. What a kind needs is imported when it is chosen.

A run is a :class:`Session`, in the process that begins it. Each process that runs cases has a
:class:`Source`, which gives it one target after the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from harness.errors import ConfigError
from harness.remote import Remote


class Step(NamedTuple):
    """One thing that was done to have a target, and the seconds that it took."""

    name: str
    seconds: float


class Source(Protocol):
    """Targets for one process, one at a time."""

    def connect(self, make_ready: Callable[[Remote], object]) -> Remote:
        """Return a remote to a fresh target; closing it ends the target with all that is on it.

        Where a target can be saved, ``make_ready`` is called before that with a remote of its own,
        and what it did is then there each time. Raises TargetError, or what ``make_ready`` raises.
        """

    def keep(self, remote: Remote, what: str) -> bool:
        """Leave the target as it is, for a person who is told of it and of ``what`` at the end.

        Return False where it is not kept; otherwise the remote is closed.
        """

    def steps(self) -> list[Step]:
        """Return what making targets took since this was last asked."""

    def close(self) -> None:
        """Give back what was kept from one target to the next; may be called twice."""


class Session(Protocol):
    """What all processes of a run have in common."""

    def close(self) -> None:
        """Take away what the run has made; may be called twice. Raises TargetError."""


@dataclass(frozen=True, slots=True)
class _Fresh:
    """Targets that are made each time, with nothing kept in between."""

    make: Callable[[], Remote]

    def connect(self, make_ready: Callable[[Remote], object]) -> Remote:  # noqa: ARG002
        return self.make()

    def keep(self, remote: Remote, what: str) -> bool:  # noqa: ARG002
        return False

    def steps(self) -> list[Step]:
        return []

    def close(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class _Kind:
    """``check``, ``source`` and ``session`` as the functions below, for the argument alone.

    ``most`` returns how many of them there can be at a time, None for any number. ``argument`` is
    what it stands for in a message; empty when the kind takes none.
    """

    source: Callable[[str], Source]
    argument: str = ""
    check: Callable[[str], str] = str
    most: Callable[[str], int | None] = lambda _: None
    session: Callable[[str, Callable[[str], None]], Session] = lambda *_: contextlib.ExitStack()


def _local(_: str) -> Source:
    from harness.local_remote import LocalRemote  # noqa: PLC0415

    return _Fresh(LocalRemote)


def _inventory(path: str) -> str:
    from harness import inventory  # noqa: PLC0415

    inventory.load(Path(path))
    return str(Path(path).absolute())


def _hosts(path: str) -> int:
    from harness import inventory  # noqa: PLC0415

    return len(inventory.load(Path(path)))


def _ssh(path: str) -> Source:
    from harness import ssh_target  # noqa: PLC0415

    return ssh_target.Source(path)


def _box(name: str) -> str:
    from harness import vagrant_target  # noqa: PLC0415

    return vagrant_target.check(name)


def _machine(box: str) -> Source:
    from harness import vagrant_target  # noqa: PLC0415

    return vagrant_target.Source(box)


def _machines(box: str, log: Callable[[str], None]) -> Session:
    from harness import vagrant_target  # noqa: PLC0415

    return vagrant_target.session(box, log)


_KINDS: Final[Mapping[str, _Kind]] = {
    "local": _Kind(_local),
    "ssh": _Kind(_ssh, "INVENTORY", _inventory, _hosts),
    "vagrant": _Kind(_machine, "BOX", _box, session=_machines),
}


def check(target: str) -> str:
    """Return ``target`` as it is for any process, wherever that runs. Raises ConfigError."""
    kind, argument = _parse(target)
    if not _KINDS[kind].argument:
        return kind
    return f"{kind}:{_KINDS[kind].check(argument)}"


def workers(target: str, asked: int | None, default: int) -> int:
    """Return how many processes may each have a target: ``asked``, else up to ``default``.

    Raises ConfigError when more are asked for than there are targets.
    """
    kind, argument = _parse(target)
    most = _KINDS[kind].most(argument)
    if asked is None:
        return default if most is None else min(default, most)
    if most is not None and asked > most:
        raise ConfigError(f"{target} has {most} of the {asked} hosts that -n {asked} needs")
    return asked


def session(target: str, log: Callable[[str], None]) -> Session:
    """Begin a run: make what all its processes need (``log`` is told), until the session is closed.

    Within a session another one is nothing of its own. Raises ConfigError, or TargetError when this
    machine cannot make it; nothing is left then.
    """
    kind, argument = _parse(target)
    return _KINDS[kind].session(argument, log)


def source(target: str) -> Source:
    """Return where this process gets its targets from; nothing is made yet. Raises ConfigError."""
    kind, argument = _parse(target)
    return _KINDS[kind].source(argument)


def connect(target: str) -> Remote:
    """Make one target, fresh, of a kind that keeps nothing. Raises as :meth:`Source.connect`."""
    return source(target).connect(lambda _: None)


def _parse(target: str) -> tuple[str, str]:
    kind, _, argument = target.partition(":")
    if kind not in _KINDS or bool(_KINDS[kind].argument) != bool(argument):
        known = [f"{name}:{one.argument}".rstrip(":") for name, one in _KINDS.items()]
        raise ConfigError(f"unknown target {target!r}; known targets: {', '.join(known)}")
    return kind, argument
