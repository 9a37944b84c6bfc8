"""Whether this host can run a machine under KVM, found by running one.

/dev/kvm may be there, answer every ioctl, and still fail at the first kernel ("KVM internal error.
Suberror: 1, emulation failure", seen in nested virtualisation). So a kernel is booted, without a
disk: that it gets as far as missing its root file system is the proof. The answer is kept until the
host boots again, for each kernel and QEMU.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from harness import tool
from harness.errors import TargetError

QEMU: Final = "qemu-system-x86_64"
DEVICE: Final = Path("/dev/kvm")
#: Seconds for the trial; a working KVM needs one or two.
_TIMEOUT: Final = 30.0
#: What a kernel says that has come through all of its own start. panic=-1 then ends QEMU.
_ARRIVED: Final = ("Unable to mount root fs", "No working init found", "Requested init")


@dataclass(frozen=True, slots=True)
class Acceleration:
    """``kvm`` says whether it works; ``why`` is the fact behind it, on one line."""

    kvm: bool
    why: str


def probe(kernel: Path) -> Acceleration:
    """Return what this host can do for ``kernel``, an x86 bzImage; tried once for each host boot.

    Never raises for a KVM that does not work; TargetError when QEMU is missing.
    """
    if shutil.which(QEMU) is None:
        raise TargetError(f"{QEMU} is missing: install the package qemu-system-x86")
    if not DEVICE.exists():
        return Acceleration(kvm=False, why=f"there is no {DEVICE}")
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return Acceleration(kvm=False, why=f"{DEVICE} may not be opened: join the group kvm")
    key = _key(kernel)
    kept = _recall(key)
    if kept is None:
        kept = _boot(kernel)
        _remember(key, kept)
    return kept


def _boot(kernel: Path) -> Acceleration:
    words = [QEMU, "-accel", "kvm", "-cpu", "host", "-smp", "2", "-m", "256", "-nodefaults"]
    words += ["-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", str(kernel)]
    words += ["-append", "console=ttyS0 panic=-1"]
    try:
        # A guest that KVM cannot run stays paused for ever; timeout(1) keeps what was said.
        done = tool.run(["timeout", f"{_TIMEOUT:g}", *words], timeout=_TIMEOUT * 2)
    except TargetError as error:
        return Acceleration(kvm=False, why=str(error))
    if any(text in done.stdout for text in _ARRIVED):
        return Acceleration(kvm=True, why="a kernel booted under KVM")
    complaints = [line for line in done.stderr.splitlines() if "KVM" in line or "kvm" in line]
    why = complaints[0].strip() if complaints else "the kernel did not get far"
    return Acceleration(kvm=False, why=f"a kernel does not boot under KVM: {why}")


def _key(kernel: Path) -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    found = kernel.stat()
    emulator = Path(shutil.which(QEMU) or "/").stat()
    return f"{boot} {kernel} {found.st_size} {found.st_mtime_ns} {emulator.st_mtime_ns}"


def _file() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "layerfs" / "acceleration.json"


def _recall(key: str) -> Acceleration | None:
    try:
        kept = json.loads(_file().read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or kept.get("key") != key:
        return None
    return Acceleration(kvm=kept["kvm"] is True, why=str(kept["why"]))


def _remember(key: str, answer: Acceleration) -> None:
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as scratch:
        json.dump({"key": key, **asdict(answer)}, scratch)
    Path(scratch.name).rename(file)
