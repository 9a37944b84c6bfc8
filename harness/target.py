"""From the word given as ``--target`` to a transport: the one place that knows every kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from harness.errors import ConfigError
from harness.remote import Remote


def _local() -> Remote:
    from harness.local_remote import LocalRemote  # noqa: PLC0415 - only the chosen one is loaded

    return LocalRemote()


TARGETS: Final[Mapping[str, Callable[[], Remote]]] = {"local": _local}


def check(target: str) -> str:
    """Return ``target`` when it is known. Raises ConfigError."""
    if target not in TARGETS:
        raise ConfigError(f"unknown target {target!r}; known targets: {', '.join(TARGETS)}")
    return target


def connect(target: str) -> Remote:
    """Make the target, fresh; closing the remote ends it with all that is on it.

    Raises ConfigError when there is no such kind, and TargetError when this machine cannot make it.
    """
    return TARGETS[check(target)]()
