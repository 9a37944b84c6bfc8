"""The target ``vagrant:BOX``: a disposable machine for each process that runs cases.

:class:`Session` is one run, in the process that began it: it sees to the box, and names the run in
the environment, where the processes that it starts find it. :class:`Source` is what each of these
processes has: it leases a machine with its first :meth:`Source.connect`, keeps it to the end, and
gives out remotes to it. Of one machine there is at most one remote at a time.

A machine is brought up, made ready by the caller, and saved; from then on every ``connect`` puts it
back to that. One that died, or that cannot be put back, is made anew.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Final, Self

from harness import acceleration, boxrecipe
from harness.box import build, find
from harness.errors import RemoteError, TargetError
from harness.fabric_remote import FabricRemote
from harness.fleet import Fleet, Lease
from harness.machine import Shape
from harness.remote import Remote
from harness.target import Step
from harness.vagrant_machine import VagrantMachine
from harness.virsh import LibvirtUnreachableError
from harness.vmrun import VmRun

#: The name of the run that this process belongs to.
RUN: Final = "LAYERFS_VM_RUN"
KIND: Final = "vagrant"
#: Seconds for the guest to set its clock.
_CLOCK: Final = 60.0
#: Stops the relays of all connections but the one that it comes by.
_FREEZE: Final = """
own=" "; next=$$
while [ "$next" -gt 1 ]; do
    own="$own$next "
    next=$(awk '/^PPid:/ { print $2 }' "/proc/$next/status")
done
for folder in /proc/[0-9]*; do
    pid=${folder#/proc/}
    case $own in *" $pid "*) continue ;; esac
    if tr '\\0' ' ' <"$folder/cmdline" 2>/dev/null | grep -q 'harness.relay import main'; then
        kill -STOP "$pid"
    fi
done
"""
#: Of the console's log, what is worth keeping as evidence.
_CONSOLE: Final = 64 * 1024


def check(box: str) -> str:
    """Return the name of a box that there is a recipe for. Raises ConfigError."""
    return boxrecipe.load(box).name


def session(box: str, log: Callable[[str], None]) -> Session | contextlib.ExitStack:
    """Return a new session, or nothing of its own in a process that is part of one."""
    return contextlib.ExitStack() if RUN in os.environ else Session(box, log)


class MachineRemote(FabricRemote):
    """A remote to a disposable machine, which can also say what only its host sees."""

    def __init__(self, machine: VagrantMachine, name: str) -> None:
        super().__init__(machine.address, name=name)
        self._machine = machine
        self.facts = {**self.facts, "machine": machine.name, "accelerated": machine.accelerated}

    def testimony(self) -> Mapping[str, str]:
        """Return files of evidence: the serial console, and how a person gets in."""
        said = self._machine.console_log()[-_CONSOLE:].decode(errors="backslashreplace")
        state = "runs" if self._machine.is_running() else "does not run"
        enter = f"# {self._machine.name} {state}; without --keep-on-failure it goes with the run\n"
        return {"console.txt": said, "enter.txt": enter + self._machine.enter() + "\n"}

    def freeze(self) -> None:
        """Leave everything there as it is, and disconnect; a machine that has died stays so.

        What would take the target away when the connection ends is stopped (SIGSTOP). The remote
        is of no use any more, and need not be closed.
        """
        try:
            with contextlib.closing(FabricRemote(self._machine.address)) as other:
                other.run(["sh", "-c", _FREEZE], timeout=_CLOCK, cwd="/")
        except RemoteError:
            return  # nothing in there can change it any more
        finally:
            self._drop()


class Session:
    """A run of machines, begun here; a context manager. The last process to leave cleans up."""

    def __init__(self, box: str, log: Callable[[str], None]) -> None:
        """Build the box where it is missing, sweep what earlier runs left, and begin.

        Raises ConfigError, BoxError or TargetError, and nothing is left then.
        """
        if find(box) is None:
            log(f"the box {box} is built first; it is kept for later runs")
            started = time.monotonic()
            build(box, log)
            log(f"the box {box} was built in {time.monotonic() - started:.0f} s")
        self._log = log
        self._run = VmRun.begin()
        os.environ[RUN] = self._run.name

    def close(self) -> None:
        """End the run, with all its machines, when the processes that it started have ended.

        Where one of them is kept, it says how to enter it instead. May be called twice. Raises
        TargetError when something does not go.
        """
        if os.environ.pop(RUN, None) is None:
            return
        self._run.end()
        for line in self._run.kept():
            self._log(f"kept until the next run with machines: {line}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Source:
    """This process's machine, from the first :meth:`connect` to :meth:`close`."""

    def __init__(self, box: str, shape: Shape | None = None) -> None:
        self._box = box
        self._shape = Shape() if shape is None else shape
        self._run: VmRun | None = None
        self._lease: Lease | None = None
        self._fleet: Fleet | None = None
        self._kept: list[Lease] = []
        self._steps: list[Step] = []

    def connect(self, make_ready: Callable[[Remote], object]) -> Remote:
        """Return a remote to the machine, as it was when it was ready.

        ``make_ready`` is given a machine that has just booted, and is saved as it is afterwards;
        that is done once for each machine. Raises TargetError, or what ``make_ready`` raises.
        """
        fleet, machine = self._machine()
        started = time.monotonic()
        step = "put back"
        if not _restored(machine):
            step = "brought up, made ready and saved"
            fleet.bring_up(machine)
            with contextlib.closing(self._remote(machine)) as remote:
                make_ready(remote)
            machine.checkpoint()
        remote = self._remote(machine)
        self._steps.append(Step(step, time.monotonic() - started))
        return remote

    def steps(self) -> list[Step]:
        """Return how long machines took since this was last asked, each to its first command."""
        steps, self._steps = self._steps, []
        return steps

    def keep(self, remote: Remote, what: str) -> bool:
        """Leave the machine as it is for a person, the first one; the next target is on another.

        The remote is closed then. Return False when there is one already.
        """
        if self._lease is None or self._run is None or self._kept:
            return False
        assert isinstance(remote, MachineRemote)
        remote.freeze()
        self._run.keep(f"{what}: {self._lease.machine.enter()}")
        self._kept.append(self._lease)
        self._lease = None
        return True

    def close(self) -> None:
        """Give the machine back to the run, running as it is; may be called twice."""
        leases, self._kept = self._kept, []
        if self._lease is not None:
            leases.append(self._lease)
        self._lease = None
        run, self._run = self._run, None
        for lease in leases:
            lease.release()
        if run is not None:
            run.leave()

    def _machine(self) -> tuple[Fleet, VagrantMachine]:
        if self._fleet is None:
            box = find(self._box)
            if box is None:
                raise TargetError(
                    f"the box {self._box} is not there: 'layerfs-conformance box build {self._box}'"
                )
            self._fleet = Fleet(self._begun(), box, self._shape, acceleration.probe(box.kernel))
        if self._lease is None:
            self._lease = self._fleet.lease()
        return self._fleet, self._lease.machine

    def _begun(self) -> VmRun:
        if self._run is None:
            name = os.environ.get(RUN)
            self._run = VmRun.begin() if name is None else VmRun(name)
        return self._run

    def _remote(self, machine: VagrantMachine) -> MachineRemote:
        remote = MachineRemote(machine, f"{KIND}:{self._box}")
        try:
            _set_clock(remote)
        except BaseException:
            remote.close()
            raise
        return remote


def _set_clock(remote: Remote) -> None:
    """Tell the guest the time: a restore turned it back, a boot under emulation is not exact."""
    words = ["date", "--utc", "--set", f"@{time.time():.3f}"]
    done = remote.run(words, timeout=_CLOCK, cwd="/")
    if done.status != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise TargetError(f"{remote.name}: the clock cannot be set: {said}")


def _restored(machine: VagrantMachine) -> bool:
    """Put a machine back to its checkpoint; False when there is none, or it does not go back."""
    try:
        if not machine.is_ready:
            return False
        machine.restore()
    except LibvirtUnreachableError:
        raise
    except TargetError:
        return False  # it is made anew, and says more if that does not work either
    return True
