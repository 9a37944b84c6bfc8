"""ZFS pools for a target, on the host itself: made, found again, and destroyed with the target.

A pool is as a plain administrator makes it; what layers need of it is a subject's business. It lies
on one of the empty disks that our machines have, else on sparse files in the target's directory.

Each has a name of :data:`NAME`, and as its comment the directory of the target that it belongs to
(:mod:`harness.workplace`), which is also what its label says while it is exported: when that
directory has gone, nobody needs the pool. One that belongs to the machine (:data:`STANDING`) is
saved and thrown away with it. No other pool is ever touched.

Standard library only and fit for Python 3.9: it is taken along to the host. Raises OSError.
Sources: zpool-create(8), zpoolprops(7).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from typing import Any, Final

from harness import census, kernel, probes, zfstool

DEVICE: Final = "/dev/zfs"
#: Has a directory for each imported pool.
KSTAT: Final = "/proc/spl/kstat/zfs"
PREFIX: Final = "layerfs-"
NAME: Final = re.compile(r"layerfs-[0-9a-f]{8}")
#: The comment of a pool that belongs to a machine, and not to a target on it.
STANDING: Final = "layerfs-machine"
#: The serial numbers of the empty disks: for the pool, and for a second one.
SERIALS: Final = ("pool0", "pool1")
#: Bytes of a sparse file that is a vdev.
SIZE: Final = 2 << 30
#: zpoolprops(7): a comment is printable, and at most this long.
_COMMENT: Final = 32
_FILES: Final = "pools"
#: Seconds; less than :data:`harness.site.TIMEOUT`, in which all of a target has to go.
_DESTROY: Final = 25.0


def refusal() -> str:
    """Say why no pool can be made here; empty when one can. Without ZFS it costs one stat."""
    if not os.path.exists(DEVICE):
        return f"there is no {DEVICE}"
    if os.geteuid() != 0 or not probes.in_init_user_namespace():
        return "pools want root in the machine's first user namespace"
    missing = [command for command in ("zpool", "zfs") if shutil.which(command) is None]
    if missing:
        return f"there is no command {missing[0]}"
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{DEVICE}: {error.strerror}"
    return ""


def version() -> str:
    """Return the version of the kernel's module; empty where it is not loaded."""
    return read("/sys/module/zfs/version")


def read(path: str) -> str:
    """Return what a file of the kernel's says; empty when there is none."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def imported() -> list[str]:
    """Return the names of all imported pools, sorted."""
    try:
        with os.scandir(KSTAT) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []


def marked() -> dict[str, str]:
    """Return the imported pools of our name, each with its comment."""
    ours = [name for name in imported() if NAME.fullmatch(name)]
    if not ours or os.geteuid() != 0:
        return {}
    told = zfstool.run("zpool", "list", "-H", "-o", "name,comment", *ours)
    return dict(line.split("\t") for line in told.splitlines())


def find(mark: str) -> list[str]:
    """Return the names of the imported pools with this comment."""
    return [name for name, comment in marked().items() if comment == mark]


# --- making --------------------------------------------------------------------------------------


def make(
    directory: str, mark: str, *, serial: str = "", files: int = 1, size: int = SIZE
) -> dict[str, Any]:
    """Make a pool and return its name, its ``vdevs``, and its ``kind``, "disk" or "file".

    On the disk with the serial number ``serial``, if there is such a one and it is empty; else on
    so many sparse files below ``directory``, as a mirror where they are several. ``mark`` is its
    comment. Nothing is left after a failure.
    """
    if len(mark) > _COMMENT:
        raise OSError(None, f"a pool cannot be marked with {mark!r}: over {_COMMENT} characters")
    name = f"{PREFIX}{os.urandom(4).hex()}"
    disk = _disk(serial)
    if disk is not None and _create_on_disk(name, mark, disk):
        return {"name": name, "kind": "disk", "vdevs": [_first_partition(disk)]}
    paths = [sparse_file(directory, f"{name}-{number}", size) for number in range(files)]
    try:
        _create(name, mark, ["mirror", *paths] if files > 1 else paths)
    except OSError:
        for path in paths:
            os.unlink(path)
        raise
    return {"name": name, "kind": "file", "vdevs": paths}


def sparse_file(directory: str, name: str, size: int) -> str:
    """Make a file of so many bytes among a target's vdevs, and return its path."""
    folder = f"{directory}/{_FILES}"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = f"{folder}/{name}"
    with open(path, "xb") as file:
        file.truncate(size)
    return path


def _create(name: str, mark: str, vdevs: list[str]) -> None:
    zfstool.run(
        "zpool", "create",
        "-o", "ashift=12", "-o", "autotrim=off", "-o", "cachefile=none", "-o", f"comment={mark}",
        "-O", "canmount=off", "-O", "mountpoint=none",
        name, *vdevs,
    )  # fmt: skip


def _create_on_disk(name: str, mark: str, disk: str) -> bool:
    """Make a pool on a disk; False when something else is on it, which stays there.

    Without -f zpool refuses what has a file system, or a pool that was not destroyed. What a killed
    run of ours has left exported there is forgotten.
    """
    try:
        _create(name, mark, [disk])
    except OSError:
        if not _forget_exported(disk):
            return False
        _create(name, mark, [disk])
    return True


def _forget_exported(disk: str) -> bool:
    """Clear the label of a pool of ours that nobody needs any more; False when it is none."""
    partition = _first_partition(disk)
    _, mark = _label(partition)
    if not mark or mark == STANDING or os.path.isdir(mark):
        return False
    zfstool.run("zpool", "labelclear", "-f", partition)
    return True


def reimport(serial: str) -> None:
    """Import the machine's own pool, where it is on this disk, and the machine was booted since."""
    disk = _disk(serial)
    partition = "" if disk is None else _first_partition(disk)
    if partition != (disk or ""):
        name, mark = _label(partition)
        if mark == STANDING:
            zfstool.run("zpool", "import", "-f", "-o", "cachefile=none", "-d", partition, name)


def _label(device: str) -> tuple[str, str]:
    """Return name and comment of the pool of ours on a device that is not imported; else empty."""
    try:
        told = zfstool.run("zpool", "import", "-d", device)
    except OSError:  # there is none
        return "", ""
    names = re.findall(r"^\s*pool: (.*)$", told, re.MULTILINE)
    marks = re.findall(r"^\s*comment: (.*)$", told, re.MULTILINE)
    ours = len(names) == len(marks) == 1 and NAME.fullmatch(names[0]) is not None
    return (names[0], marks[0]) if ours else ("", "")


def _disk(serial: str) -> str | None:
    """Return the disk with this serial number, as virtio-blk has it."""
    if not serial:
        return None
    disks = sorted(os.listdir("/sys/block"))
    named = [name for name in disks if read(f"/sys/block/{name}/serial") == serial]
    return f"/dev/{named[0]}" if named else None


def _first_partition(disk: str) -> str:
    """Return the partition that zpool makes for itself on a disk of its own."""
    folder = f"/sys/block/{os.path.basename(disk)}"
    first = [name for name in os.listdir(folder) if read(f"{folder}/{name}/partition") == "1"]
    return f"/dev/{first[0]}" if first else disk


# --- destroying ----------------------------------------------------------------------------------


def destroy(name: str, directory: str) -> None:
    """Destroy a pool of ours, whatever is in it and mounted of it, and remove its files."""
    if NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no pool of ours")
    if name in imported():
        try:
            zfstool.run("zpool", "destroy", "-f", name, timeout=_DESTROY)
        except OSError as error:
            if error.errno is not None:
                raise  # it hangs: the pool is suspended
            _detach(name)
            zfstool.run("zpool", "destroy", "-f", name, timeout=_DESTROY)
    with contextlib.suppress(FileNotFoundError):
        for file in os.listdir(f"{directory}/{_FILES}"):
            if file.startswith(f"{name}-"):
                os.unlink(f"{directory}/{_FILES}/{file}")


def clear(directory: str) -> None:
    """Destroy the pools of a target whose users have been ended; what does not go, stays."""
    with contextlib.suppress(OSError):
        for name in find(directory):
            with contextlib.suppress(OSError):
                destroy(name, directory)


def sweep(parent: str) -> None:
    """Destroy the pools of targets that were below ``parent`` and have gone."""
    with contextlib.suppress(OSError):
        for name, mark in marked().items():
            if os.path.dirname(mark) == parent and not os.path.exists(mark):
                with contextlib.suppress(OSError):
                    destroy(name, mark)


def _detach(name: str) -> None:
    """Take all mounts of a pool out of the tree."""
    for mount in reversed(census.mountinfo()):
        source = mount["source"]
        if mount["fstype"] == "zfs" and re.split("[/@]", source, maxsplit=1)[0] == name:
            with contextlib.suppress(OSError):
                kernel.detach(mount["target"])
