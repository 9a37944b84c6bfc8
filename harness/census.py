"""Counts what exists on the host right now: mounts, processes, devices, files, locks, messages.

Standard library only and fit for Python 3.9: the observer takes it along to the host. What vanishes
while it is being looked at did not exist. Sources: proc(5), Documentation/ABI/testing/dev-kmsg.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from harness import treewalk

_PF_KTHREAD = 0x00200000  # linux/sched.h
_OCTAL = re.compile(r"\\([0-7]{3})")
#: A process or a descriptor may go, or change its owner, between being listed and being read.
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _pids() -> list[int]:
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


# --- mounts --------------------------------------------------------------------------------------


def mountinfo(pid: str = "self") -> list[dict[str, Any]]:
    """Return the mounts that a process sees, in the kernel's order (proc_pid_mountinfo(5))."""
    return [_mount(line) for line in _read(f"/proc/{pid}/mountinfo").splitlines()]


def _mount(line: str) -> dict[str, Any]:
    before, _, after = line.partition(" - ")
    fields, (fstype, source, super_options) = before.split(" "), after.split(" ", 2)
    return {
        "id": int(fields[0]),
        "parent": int(fields[1]),
        "root": _unescape(fields[3]),
        "target": _unescape(fields[4]),
        "options": fields[5],
        "propagation": fields[6:],
        "fstype": fstype,
        "source": _unescape(source),
        "super_options": super_options,
    }


def _unescape(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def mounts(within: int | None = None) -> list[dict[str, Any]]:
    """Return the mounts of every mount namespace that a visible process lives in.

    Each mount carries its ``namespace``: 0 for the one that we are in, else the inode number.
    ``within`` limits the processes to the descendants of one, where there is no pid namespace: the
    services of a host come and go, and many have namespaces of their own.
    """
    own = os.readlink("/proc/self/ns/mnt")
    found = [{**mount, "namespace": 0} for mount in mountinfo()]
    seen = {own}
    for pid in _pids() if within is None else sorted(_family(within, _stats())):
        with contextlib.suppress(*_GONE):
            namespace = os.readlink(f"/proc/{pid}/ns/mnt")
            if namespace not in seen:
                # EINVAL is what mountinfo says of a process that has just died.
                with contextlib.suppress(OSError):
                    number = int(namespace.partition("[")[2].rstrip("]"))
                    found += [{**mount, "namespace": number} for mount in mountinfo(str(pid))]
                    seen.add(namespace)
    return found


# --- processes -----------------------------------------------------------------------------------


def processes(ignore: Collection[int], within: int | None) -> list[dict[str, Any]]:
    """Return all processes but kernel threads, ourselves, our ancestors, and ``ignore``.

    ``within`` limits them to the descendants of one process, where there is no pid namespace.
    """
    table = _stats()
    ours = set(_ancestors(os.getpid(), table))
    wanted = (table.keys() if within is None else _family(within, table)) - ours - set(ignore)
    found = []
    for pid in sorted(wanted):
        name, fields = table[pid]
        with contextlib.suppress(*_GONE):
            command = _read(f"/proc/{pid}/cmdline").rstrip("\0").replace("\0", " ")
            found.append({
                "pid": pid,
                "started": int(fields[19]),
                "state": fields[0],
                "name": name,
                "command": command[:500],
            })  # fmt: skip
    return found


#: Each process's name, and the fields of proc_pid_stat(5) from the state on.
_Stats = dict[int, tuple[str, list[str]]]


def _stats() -> _Stats:
    """Return what every process but kernel threads says of itself."""
    table: _Stats = {}
    for pid in _pids():
        with contextlib.suppress(*_GONE):
            # The name in parentheses may itself hold spaces and parentheses.
            head, _, tail = _read(f"/proc/{pid}/stat").rpartition(")")
            fields = tail.split()
            if not int(fields[6]) & _PF_KTHREAD:
                table[pid] = head.partition("(")[2], fields
    return table


def _family(pid: int, table: _Stats) -> set[int]:
    """Return a process and its descendants."""
    return {one for one in table if pid in _ancestors(one, table)}


def _ancestors(pid: int, table: _Stats) -> Iterator[int]:
    while pid in table:
        yield pid
        pid = int(table[pid][1][1])


def descriptors(pid: int) -> list[str]:
    """Return what a process has open, sorted; pipes and sockets without their numbers."""
    found = []
    with contextlib.suppress(*_GONE):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(*_GONE):
                found.append(re.sub(r":\[\d+\]$", "", os.readlink(f"/proc/{pid}/fd/{number}")))
    return sorted(found)


# --- devices, files, locks -----------------------------------------------------------------------


def devices() -> list[str]:
    """Return the loop devices in use, with their backing file, and the device-mapper devices."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir("/sys/block")):
            with contextlib.suppress(*_GONE):
                if name.startswith("loop"):
                    found.append(f"{name}: {_read(f'/sys/block/{name}/loop/backing_file').strip()}")
                elif name.startswith("dm-"):
                    found.append(f"{name}: {_read(f'/sys/block/{name}/dm/name').strip()}")
    return found


def files(roots: Sequence[str]) -> tuple[dict[str, str], dict[tuple[int, int, int], str]]:
    """Return the kind of each path below the roots, and the path of each (major, minor, inode).

    Mounts below a root are named as directories, and not entered. A missing root has no files.
    """
    mounted = {mount["target"] for mount in mountinfo()}
    kinds: dict[str, str] = {}
    inodes: dict[tuple[int, int, int], str] = {}
    for root in roots:
        with contextlib.suppress(*_GONE, NotADirectoryError):
            device = os.lstat(root).st_dev
            major, minor = os.major(device), os.minor(device)

            def is_ours(path: str, *_: object, root: str = root) -> bool:
                return f"{root}/{path}" not in mounted

            for path, entry, _ in treewalk.walk(root, is_ours):
                full = f"{root}/{path}"
                inodes[major, minor, entry.inode()] = full
                kinds[full] = _kind(entry)
    return kinds, inodes


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "symlink"
    if entry.is_dir(follow_symlinks=False):
        return "dir"
    return "file" if entry.is_file(follow_symlinks=False) else "special"


def locks(roots: Sequence[str], inodes: dict[tuple[int, int, int], str]) -> list[dict[str, Any]]:
    """Return the file locks held or waited for on files below the roots (proc_locks(5)).

    ``inodes`` is what :func:`files` found; a file that was deleted is found by its holder.
    """
    found = []
    for line in _read("/proc/locks").splitlines():
        fields = line.partition(": ")[2].removeprefix("-> ").split()
        pid = int(fields[3])
        major, minor, inode = fields[4].split(":")
        key = (int(major, 16), int(minor, 16), int(inode))
        path = inodes.get(key) or _locked_path(pid, fields[4])
        if path is not None and any(path.startswith(f"{root}/") for root in roots):
            found.append({"kind": fields[0], "mode": fields[2], "pid": pid, "path": path})
    return found


def _locked_path(pid: int, inode: str) -> str | None:
    """Find by its descriptors which file a process has locked."""
    with contextlib.suppress(*_GONE):
        for number in os.listdir(f"/proc/{pid}/fdinfo"):
            with contextlib.suppress(*_GONE):
                if f" {inode} " in _read(f"/proc/{pid}/fdinfo/{number}"):
                    return os.readlink(f"/proc/{pid}/fd/{number}")
    return None


# --- the kernel ----------------------------------------------------------------------------------


def taint() -> int:
    """Return the kernel's taint flags (Documentation/admin-guide/tainted-kernels.rst)."""
    return int(_read("/proc/sys/kernel/tainted"))


class Messages:
    """The kernel's log from now on; ``allowed`` is false where we may not read it."""

    _KEPT = 200

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, str]] = []
        try:
            self._descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError:
            self._descriptor = -1

    @property
    def allowed(self) -> bool:
        """Whether the log may be read here."""
        return self._descriptor >= 0

    def warnings(self) -> list[tuple[int, int, str]] | None:
        """Return (sequence number, level, text) of the last warnings and worse; None if forbidden.

        Levels are those of syslog(2): 4 is a warning, 3 an error, 0 the end of the world.
        """
        if not self.allowed:
            return None
        while True:
            try:
                record = os.read(self._descriptor, 8192).decode("utf-8", "replace")
            except BlockingIOError:
                break
            except BrokenPipeError:  # overwritten before we came; the next read goes on behind
                continue
            head, _, text = record.partition(";")
            priority, number = head.split(",")[:2]
            if int(priority) & 7 <= 4:
                self._rows.append((int(number), int(priority) & 7, text.splitlines()[0]))
        del self._rows[: -self._KEPT]
        return list(self._rows)
