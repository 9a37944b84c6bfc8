"""The machines of a run, shared out between its processes: each has the lease of one, or none.

A lease is a lock on a file of the run, so that it ends with its process. Whoever takes the lease
next, gets the machine as it was left: with its checkpoint, half made, or not there at all.
Machines are made one at a time, since starting them at once is where vagrant and libvirt race;
they boot side by side.
"""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.acceleration import Acceleration
from harness.box import Box
from harness.errors import TargetError
from harness.filelock import FileLock, take
from harness.machine import Shape
from harness.vagrant_machine import VagrantMachine
from harness.vmrun import VmRun

#: Seconds that all the others may take to make their machines.
_TURN: Final = 1800.0
#: What a machine needs beside its memory, and at least of the disk: the box, and what cases write.
MEMORY_MARGIN_MIB: Final = 256
DISK_MIB: Final = 3072


@dataclass(frozen=True, slots=True)
class Lease:
    """One machine, for as long as it is not released."""

    machine: VagrantMachine
    lock: FileLock

    def release(self) -> None:
        """Let others have it, as it is; may be called twice."""
        self.lock.release()


class Fleet:
    """The machines of ``run``, all from one box and of one shape."""

    def __init__(self, run: VmRun, box: Box, shape: Shape, acceleration: Acceleration) -> None:
        self._run = run
        self._box = box
        self._shape = shape
        self._acceleration = acceleration

    def lease(self) -> Lease:
        """Return the machine of the lowest number that nobody has; it may not be made yet."""
        for number in itertools.count():
            try:
                lock = FileLock(self._run.folder / f"lease-{number}")
            except BlockingIOError:
                continue
            machine = VagrantMachine(self._run, number, self._box, self._shape, self._acceleration)
            return Lease(machine, lock)
        raise AssertionError("numbers do not end")

    def bring_up(self, machine: VagrantMachine) -> None:
        """Make and boot a leased machine anew; returns when sshd answers.

        Raises TargetError when it does not come up, or when memory or disk would not do.
        """
        with take(self._run.folder / "up.lock", "vagrant", wait=_TURN):
            self._check_room()
            machine.start()
        machine.wait()

    def _check_room(self) -> None:
        wanted, there = self._shape.memory_mib + MEMORY_MARGIN_MIB, available_memory_mib()
        if there < wanted:
            raise TargetError(
                f"another machine needs {wanted} MiB of memory, and {there} MiB are available: "
                "run fewer at a time (-n)"
            )
        free = shutil.disk_usage(self._run.folder).free >> 20
        if free < DISK_MIB:
            raise TargetError(
                f"another machine needs {DISK_MIB} MiB of disk, and {self._run.folder.parent} has "
                f"{free} MiB: make room, or set $LAYERFS_VM_FOLDER to a folder elsewhere"
            )


def available_memory_mib() -> int:
    """Return how much memory programs may still take (proc(5), MemAvailable)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) >> 10
    raise TargetError("/proc/meminfo has no MemAvailable")
