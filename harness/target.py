"""From the word given as ``--target`` to a transport: the one place that knows every kind.

A word is a kind, or ``KIND:ARGUMENT``. What a kind needs is imported when it is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import ConfigError
from harness.remote import Remote


@dataclass(frozen=True, slots=True)
class _Kind:
    """``check`` and ``connect`` as the functions below, for the argument alone; "" when none is.

    ``most`` returns how many of them there can be at a time, None for any number. ``argument`` is
    what it stands for in a message; empty when the kind takes none.
    """

    connect: Callable[[str], Remote]
    argument: str = ""
    check: Callable[[str], str] = str
    most: Callable[[str], int | None] = lambda _: None


def _local(_: str) -> Remote:
    from harness.local_remote import LocalRemote  # noqa: PLC0415

    return LocalRemote()


def _inventory(path: str) -> str:
    from harness import inventory  # noqa: PLC0415

    inventory.load(Path(path))
    return str(Path(path).absolute())


def _hosts(path: str) -> int:
    from harness import inventory  # noqa: PLC0415

    return len(inventory.load(Path(path)))


def _ssh(path: str) -> Remote:
    from harness import inventory  # noqa: PLC0415
    from harness.fabric_remote import FabricRemote  # noqa: PLC0415

    address, lock = inventory.lease(inventory.load(Path(path)))
    try:
        return FabricRemote(address, marker=inventory.MARKER, released=lock.release)
    except BaseException:
        lock.release()
        raise


_KINDS: Final[Mapping[str, _Kind]] = {
    "local": _Kind(_local),
    "ssh": _Kind(_ssh, "INVENTORY", _inventory, _hosts),
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


def connect(target: str) -> Remote:
    """Make the target, fresh; closing the remote ends it with all that is on it.

    Raises ConfigError when there is no such kind, and TargetError when this machine cannot make it.
    """
    kind, argument = _parse(target)
    return _KINDS[kind].connect(argument)


def _parse(target: str) -> tuple[str, str]:
    kind, _, argument = target.partition(":")
    if kind not in _KINDS or bool(_KINDS[kind].argument) != bool(argument):
        known = [f"{name}:{one.argument}".rstrip(":") for name, one in _KINDS.items()]
        raise ConfigError(f"unknown target {target!r}; known targets: {', '.join(known)}")
    return kind, argument
