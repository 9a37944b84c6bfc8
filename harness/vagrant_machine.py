"""A :class:`harness.machine.Machine` by Vagrant and libvirt.

``vagrant up`` defines and starts it from ``vagrant/Vagrantfile`` and one JSON file; everything else
is virsh, which answers ten times faster than vagrant starts. Its folder has everything of it:

| name | what |
|---|---|
| ``root.qcow2`` | the disk, an overlay on the box's image |
| ``pool0.qcow2``, ``pool1.qcow2`` | two empty disks |
| ``seed.qcow2`` | labelled LAYERFS-SEED: keys and host name, which the guest reads at every boot |
| ``console.log`` | its serial console; ``console.old``: until it was last started |
| ``private/`` | the keys, the JSON file, and vagrant's home: for this user only |
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import time
from pathlib import Path
from typing import Any, Final

from harness import boxrecipe, sshkeys, tool, virsh
from harness.acceleration import Acceleration
from harness.address import Address
from harness.box import Box
from harness.errors import TargetError
from harness.machine import Shape
from harness.vmrun import VmRun

CHECKPOINT: Final = "ready"
USER: Final = "root"
LOOPBACK: Final = "127.0.0.1"
#: Seconds: for vagrant to define and start a machine, and for the guest to boot.
_UP: Final = 300.0
_BOOT: Final = 300.0
_TOOL: Final = 120.0
_POLL: Final = 0.25
#: Between two looks whether a machine that does not answer is alive.
_LOOK: Final = 5.0
_PORT_TRIES: Final = 5
_PORT_TAKEN: Final = "Could not set up host forwarding rule"
_CONSOLE_LINES: Final = 30
_CONSOLE_KEPT: Final = 4 << 20
_SEED_MIB: Final = 2

#: KVM gives the guest what the host has. Software emulation without cx16: with it, QEMU 7.2's guest
#: kernel dies of a double fault now and then; and AVX, which newer models have, is slow to emulate.
_KVM: Final = {"driver": "kvm", "cpu": {"mode": "host-passthrough"}}
_EMULATED: Final = {
    "driver": "qemu",
    "cpu": {"mode": "custom", "model": "Nehalem", "disabled": ["cx16"]},
}


class VagrantMachine:
    """One machine of a run; ``number`` tells it from the others.

    The object holds nothing that would have to be closed: another process that has the lease may
    make one of its own for the same machine.
    """

    def __init__(
        self, run: VmRun, number: int, box: Box, shape: Shape, acceleration: Acceleration
    ) -> None:
        self.name = f"{run.name}-{number}"
        self.folder = run.folder / f"machine-{number}"
        self._run = run
        self._box = box
        self._shape = shape
        self._acceleration = acceleration

    # --- the protocol ----------------------------------------------------------------------------

    @property
    def address(self) -> Address:
        """Where ssh answers. Raises TargetError before :meth:`up`."""
        try:
            port = json.loads(self._parameters.read_text())["port"]
            key = " ".join((self._private / "host.pub").read_text().split()[:2])
        except FileNotFoundError:
            raise TargetError(f"{self.name} has not been brought up") from None
        return Address(
            host=LOOPBACK, port=port, user=USER, key_file=self._private / "client", host_key=key
        )

    def up(self) -> None:
        """Make it and boot it; see Machine."""
        self.start()
        self.wait()

    def destroy(self) -> None:
        """Take all of it away; see Machine."""
        virsh.cut(self.name)
        virsh.undefine(self.name)
        virsh.drop_pool(self.name)
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def checkpoint(self) -> None:
        """Save it, memory included; see Machine."""
        if CHECKPOINT in virsh.checkpoints(self.name):
            virsh.forget(self.name, CHECKPOINT)
        virsh.save(self.name, CHECKPOINT)

    def restore(self) -> None:
        """Put it back to the checkpoint; see Machine."""
        if CHECKPOINT not in virsh.checkpoints(self.name):
            raise TargetError(f"{self.name} has no checkpoint")
        if not self.is_running():
            self._keep_console()
        virsh.load(self.name, CHECKPOINT)
        self.wait()

    def power_cut(self) -> None:
        """Pull the plug and switch it on again; see Machine."""
        virsh.cut(self.name)
        self._keep_console()
        virsh.start(self.name)
        self.wait()

    def console_log(self) -> bytes:
        """Return the serial console's output; see Machine."""
        files = (self.folder / "console.old", self.folder / "console.log")
        return b"".join(file.read_bytes() for file in files if file.exists())

    def is_running(self) -> bool:
        """Whether it runs at all; False as well when a full disk has stopped it."""
        return virsh.state(self.name) == "running"

    # --- more of it ------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether there is a checkpoint to go back to."""
        return CHECKPOINT in virsh.checkpoints(self.name)

    @property
    def accelerated(self) -> bool:
        """Whether KVM runs it; else it is emulated in software, at a tenth of the speed."""
        return self._acceleration.kvm

    def enter(self) -> str:
        """Return the shell line by which a person gets in."""
        there = self.address
        options = {
            "UserKnownHostsFile": self._private / "known_hosts",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
        }
        words = ["ssh", "-F", "none", "-i", str(there.key_file), "-p", str(there.port)]
        for name, value in options.items():
            words += ["-o", f"{name}={value}"]
        return shlex.join([*words, f"{there.user}@{there.host}"])

    def start(self) -> None:
        """Make it and switch it on, without waiting for the guest; one at a time on a host.

        A port that somebody else takes between choosing it and using it is replaced by another.
        """
        self.destroy()
        self._make_files()
        for _ in range(_PORT_TRIES):
            done = self._vagrant_up(_free_port())
            if done.status == 0:
                return
            virsh.undefine(self.name)
            if _PORT_TAKEN not in done.stdout + done.stderr:
                raise TargetError(f"vagrant up failed for {self.name}: {_told(done)}")
        raise TargetError(
            f"{self.name}: {_PORT_TRIES} ports of {LOOPBACK} in turn were taken as soon as chosen"
        )

    def wait(self) -> None:
        """Return when sshd answers. Raises TargetError with the console's end when it does not."""
        address = (LOOPBACK, self.address.port)
        deadline = time.monotonic() + _BOOT
        look = time.monotonic() + _LOOK
        while not _greets(address):
            now = time.monotonic()
            if now > look:
                look = now + _LOOK
                state = virsh.state(self.name)
                if state != "running":
                    raise self._lost(f"is {state or 'gone'} instead of answering")
            if now > deadline:
                raise self._lost(f"did not answer on {LOOPBACK}:{address[1]} in {_BOOT:g} s")
            time.sleep(_POLL)

    # --- making it -------------------------------------------------------------------------------

    @property
    def _private(self) -> Path:
        return self.folder / "private"

    @property
    def _parameters(self) -> Path:
        return self._private / "parameters.json"

    def _keep_console(self) -> None:
        """Put what the console has said aside: whoever starts a machine empties the file."""
        said = self.console_log()
        (self.folder / "console.old").write_bytes(said[-_CONSOLE_KEPT:])
        (self.folder / "console.log").write_bytes(b"")

    def _lost(self, what: str) -> TargetError:
        lines = self.console_log().decode(errors="replace").splitlines()[-_CONSOLE_LINES:]
        shown = "\n".join(lines) or "(nothing)"
        return TargetError(f"{self.name} {what}; the end of its console:\n{shown}")

    def _make_files(self) -> None:
        self.folder.mkdir()
        self.folder.chmod(0o711)
        self._private.mkdir(mode=0o700)
        # QEMU's user appends to it; made by us, so that we may read it.
        (self.folder / "console.log").touch(mode=0o600)
        self._image("root", "-F", "qcow2", "-b", str(_shared(self._run, self._box.image)))
        for name in ("pool0", "pool1"):
            self._image(name, size=self._shape.disk_mib)
        self._make_seed()
        virsh.make_pool(self.name, self.folder)

    def _image(self, name: str, *options: str, size: int | None = None) -> None:
        words = ["qemu-img", "create", "-q", "-f", "qcow2", *options, str(self._disk(name))]
        tool.run(words if size is None else [*words, f"{size}M"], timeout=_TOOL).good()

    def _disk(self, name: str) -> Path:
        return self.folder / f"{name}.qcow2"

    def _make_seed(self) -> None:
        seed = self._private / "seed"
        seed.mkdir()
        client, host = sshkeys.make(self.name), sshkeys.make(self.name)
        sshkeys.write(client, self._private / "client")
        sshkeys.write(host, self._private / "host")
        sshkeys.write(host, seed / "ssh_host_ed25519_key")
        (seed / "authorized_keys").write_text(client.public + "\n")
        (seed / "hostname").write_text(self.name + "\n")
        raw = self._private / "seed.raw"
        with raw.open("wb") as file:
            file.truncate(_SEED_MIB << 20)
        words = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-L", "LAYERFS-SEED"]
        tool.run([*words, "-d", str(seed), str(raw)], timeout=_TOOL).good()
        # qcow2, since a checkpoint is only made of disks that can hold their part of it.
        disk = self._disk("seed")
        disk.touch(mode=0o600)
        tool.run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(disk)], timeout=_TOOL).good()
        raw.unlink()
        shutil.rmtree(seed)

    def _vagrant_up(self, port: int) -> tool.Done:
        self._parameters.write_text(json.dumps(self._described(port), indent=2) + "\n")
        key = (self._private / "host.pub").read_text().strip()
        (self._private / "known_hosts").write_text(f"[{LOOPBACK}]:{port} {key}\n")
        return tool.run(
            ["vagrant", "up", "--provider", "libvirt", "--no-tty"],
            timeout=_UP,
            env=self._environment(),
            keep=[self._run.held],
        )

    def _described(self, port: int) -> dict[str, Any]:
        """Return what the Vagrantfile wants to know."""
        names = ("root", "pool0", "pool1", "seed")
        disks = [
            {"file": self._disk(name).name, "serial": name, "device": f"vd{letter}"}
            for name, letter in zip(names, "abcd", strict=True)
        ]
        return {
            **(_KVM if self._acceleration.kvm else _EMULATED),
            "name": self.name,
            "uri": virsh.URI,
            "cpus": self._shape.cpus,
            "memory_mib": self._shape.memory_mib,
            "kernel": str(_shared(self._run, self._box.kernel)),
            "initrd": str(_shared(self._run, self._box.initrd)),
            "cmdline": self._box.cmdline,
            "pool": self.name,
            "disks": disks,
            "console": str(self.folder / "console.log"),
            "port": port,
            "user": USER,
            "key": str(self._private / "client"),
            "boot_timeout": int(_BOOT),
        }

    def _environment(self) -> dict[str, str]:
        ours = {
            "VAGRANT_HOME": str(self._private / "vagrant"),
            "VAGRANT_DOTFILE_PATH": str(self._private / "state"),
            "VAGRANT_CWD": str(boxrecipe.data()),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "LAYERFS_VAGRANT_JSON": str(self._parameters),
        }
        others = ("VAGRANT_", "LIBVIRT_", "RUBYOPT", "RUBYLIB")  # of the user, for other machines
        kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        return {**kept, **ours}


def _shared(run: VmRun, file: Path) -> Path:
    """Return a copy of a box's file in the run's folder, for all its machines, made when missing.

    A copy, though a link would do: libvirt gives the files that it uses to QEMU's user for good.
    """
    place = run.folder / file.name
    if not place.exists():
        unfinished = place.with_name(f".{file.name}")
        words = ["cp", "--reflink=auto", "--", str(file), str(unfinished)]
        tool.run(words, timeout=_TOOL).good()
        unfinished.chmod(0o644)
        unfinished.rename(place)
    return place


def _told(done: tool.Done) -> str:
    """Return the end of what vagrant said, without the places in its own code."""
    lines = [
        line for line in done.stderr.splitlines() if line.strip() and not line.startswith("\tfrom ")
    ]
    return "\n".join(lines[-_CONSOLE_LINES:]) or done.said


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind((LOOPBACK, 0))
        port: int = trial.getsockname()[1]
        return port


def _greets(address: tuple[str, int]) -> bool:
    """Whether a server for ssh says so at an address; QEMU accepts before the guest does."""
    try:
        with socket.create_connection(address, timeout=2.0) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
