"""What the harness asks of libvirt, through virsh(1): domains, their checkpoints, storage pools.

One process for each question, all of them bounded in time. Names are always whole and our own:
nothing here takes a pattern. A checkpoint is a snapshot inside the disks' qcow2 files, with the
memory of the machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal
from xml.etree import ElementTree as ET

from harness import tool
from harness.errors import TargetError

URI: Final = "qemu:///system"
#: Seconds for what only asks, and for what starts, stops, saves or loads a machine.
_ASK: Final = 30.0
_ACT: Final = 240.0

Kind = Literal["domain", "pool"]

_UNREACHABLE: Final = ("failed to connect", "Cannot recv data", "End of file while reading data")
_UNKNOWN: Final = (
    "failed to get domain",
    "Domain not found",
    "failed to get pool",
    "Storage pool not found",
    "domain is not running",
    "is not active",
)


class LibvirtUnreachableError(TargetError):
    """The daemon does not answer; the message says what would mend it."""


class UnknownNameError(TargetError):
    """There is no such domain or pool, or it is not running."""


def _virsh(*words: str, timeout: float = _ASK) -> str:
    done = tool.run(["virsh", "--quiet", "--connect", URI, *words], timeout=timeout)
    if done.status == 0:
        return done.stdout
    said = "; ".join(line.removeprefix("error: ") for line in done.stderr.strip().splitlines())
    if any(text in said for text in _UNREACHABLE):
        raise LibvirtUnreachableError(
            f"libvirt does not answer at {URI}: {said} "
            "('layerfs-conformance doctor --install' starts the daemons)"
        )
    kind = UnknownNameError if any(text in said for text in _UNKNOWN) else TargetError
    raise kind(f"virsh {words[0]}: {said}")


def version() -> str:
    """Return libvirt's version. Raises LibvirtUnreachableError, or TargetError without virsh."""
    lines = _virsh("version").splitlines()
    return next((line.split()[-1] for line in lines if line.startswith("Using library")), "?")


def names(kind: Kind) -> list[str]:
    """Return the names of all domains or pools of this host, ours or not, running or not."""
    command = {"domain": "list", "pool": "pool-list"}[kind]
    return [name.strip() for name in _virsh(command, "--all", "--name").splitlines() if name]


def folders_of(kind: Kind, name: str) -> frozenset[Path]:
    """Return the folders in which a domain has disks, or that a pool is. Raises UnknownNameError.

    The XML is libvirt's own, of a daemon that is trusted with this machine as root.
    """
    command = {"domain": "dumpxml", "pool": "pool-dumpxml"}[kind]
    found = ET.fromstring(_virsh(command, name))  # noqa: S314
    if kind == "pool":
        return frozenset(Path(node.text or "/") for node in found.iter("path"))
    sources = [node.get("file") for node in found.iterfind("./devices/disk/source")]
    return frozenset(Path(file).parent for file in sources if file)


def state(name: str) -> str:
    """Return a domain's state ("running", "shut off", "crashed"…), "" when there is none such."""
    try:
        return _virsh("domstate", name).strip()
    except UnknownNameError:
        return ""


def start(name: str) -> None:
    """Switch a machine on."""
    _virsh("start", name, timeout=_ACT)


def cut(name: str) -> None:
    """Pull the plug: the guest is told nothing. Nothing when it is off already."""
    try:
        _virsh("destroy", name, timeout=_ACT)
    except UnknownNameError:
        return


def undefine(name: str) -> None:
    """Make libvirt forget a machine that is off, and its checkpoints. Nothing if it has gone."""
    try:
        _virsh("undefine", name, "--snapshots-metadata", "--managed-save", "--nvram")
    except UnknownNameError:
        return


def save(name: str, checkpoint: str) -> None:
    """Save disks and memory of a running machine, which goes on. Raises TargetError."""
    _virsh("snapshot-create-as", name, checkpoint, timeout=_ACT)


def forget(name: str, checkpoint: str) -> None:
    """Delete a checkpoint and its data."""
    _virsh("snapshot-delete", name, checkpoint, timeout=_ACT)


def checkpoints(name: str) -> list[str]:
    """Return the names of a machine's checkpoints; none when there is no such machine."""
    try:
        return [line.strip() for line in _virsh("snapshot-list", name, "--name").splitlines()]
    except UnknownNameError:
        return []


def load(name: str, checkpoint: str) -> None:
    """Put a machine back to a checkpoint, and let it run from there, whatever state it is in.

    A running QEMU loads it by itself, in half a second; only where that fails is it started anew by
    libvirt (4 s). The guest's clock is that of the checkpoint, and its connections are dead.
    """
    if state(name) == "running":
        # QEMU's monitor tells errors as text, and nothing when all is well.
        said = _virsh("qemu-monitor-command", name, "--hmp", f"loadvm {checkpoint}", timeout=_ACT)
        if not said.strip() and state(name) == "running":
            return
    _virsh("snapshot-revert", name, checkpoint, "--running", "--force", timeout=_ACT)


def make_pool(name: str, folder: Path) -> None:
    """Make a transient pool of a folder that is there; what is in it is known to libvirt then."""
    _virsh("pool-create-as", name, "dir", "--target", str(folder))


def drop_pool(name: str) -> None:
    """Make libvirt forget a pool; the folder stays. Nothing when there is none such."""
    for words in (("pool-destroy", name), ("pool-undefine", name)):
        try:
            _virsh(*words)
        except UnknownNameError:
            continue
