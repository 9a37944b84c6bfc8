"""What the harness may ask of a disposable machine, whoever makes it.

The life cycle: ``up`` makes and boots it; ``checkpoint`` saves it as it is then, memory included;
``restore`` puts it back to that, as often as wanted, also when it has died meanwhile; ``destroy``
takes away all of it. Every call is bounded in time and raises :class:`harness.errors.TargetError`,
with the end of the machine's console where it did not come up.

A machine is not locked: whoever has its lease is alone with it. Connections to it are the caller's,
and are dead after ``restore`` and ``power_cut``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from harness.address import Address


class Machine(Protocol):
    """One disposable machine; ``name`` is unique on this host."""

    name: str

    @property
    def address(self) -> Address:
        """Where ssh answers, and with which keys. Raises TargetError before :meth:`up`."""

    def up(self) -> None:
        """Make it and boot it; returns when sshd answers. What was there before goes first.

        A failed one is left as it is, for its console log; ``destroy`` removes it.
        """

    def checkpoint(self) -> None:
        """Save it as it is now, in place of an earlier checkpoint. No connection should be open."""

    def restore(self) -> None:
        """Put it back to the checkpoint and let it run; returns when sshd answers.

        The guest's clock is that of the checkpoint: whoever connects next sets it.
        """

    def power_cut(self) -> None:
        """Pull the plug and switch it on again; returns when sshd answers."""

    def destroy(self) -> None:
        """Take all of it away; nothing when there is none. May be called at any time."""

    def console_log(self) -> bytes:
        """Return what it wrote to its serial console so far; empty when there is nothing."""

    def is_running(self) -> bool:
        """Whether it runs at all; says nothing of what happens in it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a machine is made of: sizes in MiB; each of the two extra disks is ``disk_mib``.

    The checkpoint holds the guest's used memory, and TCG needs a thread for each CPU.
    """

    cpus: int = 2
    memory_mib: int = 1024
    disk_mib: int = 8192
