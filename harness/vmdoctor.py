"""What this machine lacks for disposable machines, and its mending on Debian.

As in :mod:`harness.doctor`, nothing is guessed that can be tried: vagrant is asked for its plugins,
the daemon for its version, and a kernel is booted under KVM. :func:`install` is the one thing here
that changes the machine: Debian packages by apt, and the daemons, by systemd or without.
"""

from __future__ import annotations

import grp
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from harness import acceleration, box, tool, virsh, vmrun
from harness.errors import HarnessError, TargetError
from harness.finding import Finding, install_command, sudo
from harness.fleet import DISK_MIB, MEMORY_MARGIN_MIB, available_memory_mib
from harness.machine import Shape

#: Debian's packages, by a program that comes with each.
PACKAGES: Final = {
    "vagrant": "vagrant",
    "virsh": "libvirt-clients",
    "libvirtd": "libvirt-daemon-system",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "mmdebstrap": "mmdebstrap",
}
PLUGIN: Final = "vagrant-libvirt"
_ASK: Final = 60.0
_APT: Final = 1800.0
_SYSTEMD: Final = Path("/run/systemd/system")
#: Whose work it is to set the modes of devices, where it runs.
_UDEV: Final = Path("/run/udev/control")
#: What QEMU's user belongs to, and may do with /dev/kvm, by Debian's udev rules.
_GROUP: Final = "kvm"
_MODE: Final = 0o660


def examine() -> list[Finding]:
    """Look at everything that machines need. Never raises for what is missing."""
    return [_packages(), _daemons(), _acceleration(), _memory(), _disk()]


def missing_packages() -> list[str]:
    """Return the Debian packages that are not there."""
    lacks = [name for program, name in PACKAGES.items() if not _has(program)]
    if "vagrant" in lacks or not _has_plugin():
        lacks.append(PLUGIN)
    return lacks


def install(told: Callable[[str], None]) -> None:
    """Install the missing Debian packages, and start libvirt's daemons unless they answer.

    Where there is no udev, /dev/kvm gets the owner and mode that it would give it. Raises
    TargetError when something cannot be done here; what was done until then stays.
    """
    lacks = missing_packages()
    if (lacks or not _answers()) and os.geteuid() != 0:
        raise TargetError(f"that needs root: {sudo('layerfs-conformance doctor --install')}")
    if lacks:
        if shutil.which("apt-get") is None:
            raise TargetError(f"only Debian's packages are known here: {', '.join(lacks)}")
        told(f"apt-get install {' '.join(lacks)}")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        words = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
        tool.run([*words, "update"], timeout=_APT, env=environment).good()
        words += ["install", "-y", "--no-install-recommends", *lacks]
        tool.run(words, timeout=_APT, env=environment).good()
    if _shut_out():
        told(f"chgrp {_GROUP} {acceleration.DEVICE}")
        shutil.chown(acceleration.DEVICE, group=_GROUP)
        acceleration.DEVICE.chmod(_MODE)
    if not _answers():
        told("starting virtlogd and libvirtd")
        _start_daemons()
        virsh.version()


def _shut_out() -> bool:
    """Whether QEMU's user may not open a /dev/kvm that is there, for want of udev.

    libvirt then finds that what it knows of QEMU does not hold, and finds all of it out again, for
    seconds, at every question (virQEMUCapsIsValid in its qemu_capabilities.c).
    """
    if os.geteuid() != 0 or _UDEV.exists():
        return False
    try:
        found = acceleration.DEVICE.stat()
        group = grp.getgrnam(_GROUP).gr_gid
    except (FileNotFoundError, KeyError):
        return False
    return found.st_gid != group or found.st_mode & _MODE != _MODE


def _start_daemons() -> None:
    if _SYSTEMD.is_dir():
        words = ["systemctl", "start", "virtlogd.socket", "libvirtd.service"]
        tool.run(words, timeout=_ASK).good()
        return
    for daemon in ("virtlogd", "libvirtd"):
        done = tool.run([daemon, "--daemon"], timeout=_ASK)
        # One that runs already has its pidfile locked; that is no failure.
        if done.status != 0 and "pidfile" not in done.said:
            raise TargetError(f"{daemon} does not start: {done.said}")


def _has(program: str) -> bool:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{tool.SBIN}") is not None


def _has_plugin() -> bool:
    """Ask a vagrant that knows nothing of the user's own plugins, as ours does not."""
    try:
        with tempfile.TemporaryDirectory(prefix="layerfs-doctor-") as home:
            environment = {**os.environ, "VAGRANT_HOME": home, "VAGRANT_CHECKPOINT_DISABLE": "1"}
            words = ["vagrant", "plugin", "list", "--no-tty"]
            done = tool.run(words, timeout=_ASK, env=environment)
    except TargetError:
        return False
    return PLUGIN in done.stdout


def _answers() -> bool:
    try:
        virsh.version()
    except TargetError:
        return False
    return True


def _packages() -> Finding:
    lacks = missing_packages()
    if not lacks:
        return Finding("VM packages", "ok", "vagrant, its libvirt plugin, libvirt and QEMU")
    found = f"missing: {', '.join(lacks)}; machines of one's own (vagrant:BOX) need them"
    return Finding("VM packages", "lacking", found, install_command(*lacks))


def _daemons() -> Finding:
    try:
        return Finding("libvirt", "ok", f"version {virsh.version()} answers at {virsh.URI}")
    except TargetError as error:
        remedy = sudo("layerfs-conformance doctor --install")
        return Finding("libvirt", "lacking", str(error), remedy)


def _acceleration() -> Finding:
    name = "acceleration"
    kernel = _some_kernel()
    if kernel is None:
        remedy = "layerfs-conformance box build debian13"
        return Finding(name, "lacking", "not tried: there is no kernel to boot", remedy)
    try:
        found = acceleration.probe(kernel)
    except (HarnessError, OSError) as error:
        return Finding(name, "lacking", f"not tried: {error}")
    if found.kvm:
        return Finding(name, "ok", found.why)
    return Finding(name, "lacking", f"{found.why}; software emulation serves, and is slow")


def _some_kernel() -> Path | None:
    """Return the kernel of a box, or failing that one of this machine's own."""
    own = sorted(Path("/boot").glob("vmlinuz-*"))
    kernels = [*own, *(one.kernel for one in box.boxes())]
    readable = [path for path in kernels if os.access(path, os.R_OK)]
    return readable[-1] if readable else None


def _memory() -> Finding:
    needed, there = Shape().memory_mib + MEMORY_MARGIN_MIB, available_memory_mib()
    found = f"{there} MiB available, a machine takes {needed} MiB"
    return Finding("memory", "ok" if there >= needed else "lacking", found)


def _disk() -> Finding:
    folder = vmrun.base()
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free >> 20
    found = f"{free} MiB free in {folder}, a machine takes up to {DISK_MIB} MiB"
    if free >= DISK_MIB:
        return Finding("disk", "ok", found)
    return Finding("disk", "lacking", found, f"export {vmrun.VARIABLE}=/a/folder/elsewhere")
