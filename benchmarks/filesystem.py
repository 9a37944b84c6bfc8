"""A fresh ext4 with a journal, on a loop device: the same ground for everybody.

The root file system of a test machine is not such a ground: without a journal, full of deleted
trees, or on a device that many share. The loop device writes with O_DIRECT where it can: through
the page cache, its speed depends on what was written before.

The image file has no name once it is attached, and the mount lies in this process's own mount
namespace: whatever ends the process, nothing stays but an empty directory.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.packages import BenchError, Log, run
from layerfs.syscalls import MNT_DETACH, syncfs, umount2

SIZE: Final = 16 << 30
_SPARE: Final = 2 << 30
#: Room for the inodes of several stores; tables and journal written now, not while it is measured.
_MKFS: Final = ("-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-N", "4000000")


class Ground:
    """The mounted file system. ``fresh`` gives an empty directory on it."""

    def __init__(self, top: Path, *, direct: bool) -> None:
        self.top = top
        self.direct = direct  #: whether the loop device bypasses the page cache
        self._count = 0

    @contextlib.contextmanager
    def fresh(self) -> Iterator[Path]:
        """Give a new empty directory, with nothing left to be written; delete it afterwards."""
        self._count += 1
        folder = self.top / f"d{self._count}"
        folder.mkdir()
        self.settle()
        try:
            yield folder
        finally:
            _unmount_below(folder)
            run(["rm", "-rf", "--one-file-system", folder])
            self.settle()

    def settle(self) -> None:
        """Write everything back: what was done before is not to be paid for by what comes now."""
        fd = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY)
        try:
            syncfs(fd)
        finally:
            os.close(fd)


def _unmount_below(folder: Path) -> None:
    # containers-storage, for one, leaves its directory mounted on itself. The last was made last.
    table = Path("/proc/self/mountinfo").read_bytes().splitlines()
    for line in reversed(table):
        target = line.split(b" ")[4]
        if target.startswith(b"%b/" % os.fsencode(folder)):
            umount2(target.decode("unicode_escape"))


@contextlib.contextmanager
def mounted(place: Path, log: Log) -> Iterator[Ground]:
    """Make the file system, mount it below ``place``, and take it away at the end."""
    with tempfile.TemporaryDirectory(prefix="layerfs-bench-", dir=place) as folder:
        file = Path(folder) / "ext4"
        top = Path(folder) / "m"
        top.mkdir()
        device, direct = _device(file, log)
        run(["mount", "-o", "noatime", device, top])
        run(["losetup", "--detach", device])  # when it is unmounted: now it is busy
        try:
            yield Ground(top, direct=direct)
        finally:
            # Detached, since a process that was interrupted may not have ended yet.
            umount2(top, MNT_DETACH)


def _device(file: Path, log: Log) -> tuple[str, bool]:
    """Make the image file and attach it; return the device and whether it bypasses the cache."""
    have = os.statvfs(file.parent)
    free = have.f_bavail * have.f_frsize
    if free < SIZE + _SPARE:
        raise BenchError(
            f"{file.parent} has {free >> 30} GiB free, of {(SIZE + _SPARE) >> 30} that are needed: "
            "name another place with --place"
        )
    try:
        with file.open("wb") as made:
            os.posix_fallocate(made.fileno(), 0, SIZE)
        run(["mkfs.ext4", *_MKFS, file])
        try:
            return run(["losetup", "--find", "--show", "--direct-io=on", file]).strip(), True
        except BenchError as error:
            log(f"no direct I/O on the loop device, so writing varies more: {error}")
            return run(["losetup", "--find", "--show", file]).strip(), False
    finally:
        file.unlink(missing_ok=True)
