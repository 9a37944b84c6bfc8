"""The complete list of what exists on a host, as a value, and what differs between two of them.

Nothing here does I/O: :meth:`harness.observe.Host.ledger` takes one. A leak is anything that the
later one has and the earlier one has not; that something has gone is told as well, since a subject
must not take away what it did not make.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from harness import zfsledger
from harness.zfsledger import ZfsLedger

#: In the kernel's log, what is never the answer to a bad request (kernel/panic.c, lib/bug.c).
_SERIOUS = (
    "BUG:", "WARNING:", "Oops", "general protection fault", "Call Trace", "UBSAN:", "KASAN:",
    "possible circular locking", "blocked for more than", "refcount_t:",
)  # fmt: skip
_CRITICAL = 2
#: What stands around a report of several lines (lib/bug.c, kernel/panic.c).
_BEGINS, _ENDS = "[ cut here ]", "[ end trace"
#: Reports that no subject can help, by words that are all in them; each must have come to its end.
_OF_THE_HOST = (
    # OpenZFS tells the kernel a positive number where a mapped page cannot be written, as at a
    # quota: https://github.com/openzfs/zfs/issues/16925
    ("mm/page-writeback.c", "writeback_iter", "zpl_writepages"),
)
#: Set by a report of the kind WARNING (Documentation/admin-guide/tainted-kernels.rst).
_TAINT_WARN = 1 << 9

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount; ``namespace`` is 0 for the host's own, else the inode number of another."""

    namespace: int
    id: int
    parent: int
    target: str
    root: str
    fstype: str
    source: str
    options: tuple[str, ...]
    super_options: tuple[str, ...]

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Self:
        """Make one of what the observer tells."""
        return cls(
            namespace=row.get("namespace", 0),
            id=row["id"],
            parent=row["parent"],
            target=row["target"],
            root=row["root"],
            fstype=row["fstype"],
            source=row["source"],
            options=tuple(row["options"].split(",")),
            super_options=tuple(row["super_options"].split(",")),
        )

    @property
    def is_readonly(self) -> bool:
        """Whether the mount or its file system refuses writes."""
        return "ro" in self.options or "ro" in self.super_options

    def __str__(self) -> str:
        where = f" in mount namespace {self.namespace}" if self.namespace else ""
        return f"mount of {self.fstype} ({self.source}) on {self.target!a}{where}"


@dataclass(frozen=True, slots=True)
class Process:
    """One process; ``started`` tells it from another with the same number."""

    pid: int
    started: int
    name: str
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command or self.name})"


@dataclass(frozen=True, slots=True)
class Lock:
    """One file lock, held or waited for."""

    kind: str
    mode: str
    pid: int
    path: str

    def __str__(self) -> str:
        return f"lock {self.kind} {self.mode} of process {self.pid} on {self.path!a}"


@dataclass(frozen=True, slots=True)
class Message:
    """One warning or worse of the kernel's log; ``level`` as in syslog(2)."""

    number: int
    level: int
    text: str

    @property
    def is_serious(self) -> bool:
        """Whether the kernel itself is in trouble, rather than refusing something."""
        return self.level <= _CRITICAL or any(word in self.text for word in _SERIOUS)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What exists. ``files`` has the kind of each path below the watched roots.

    ``descriptors`` has what each asked process has open; ``messages`` are the last warnings of the
    kernel's log, None where it may not be read; ``zfs`` is what is in pools.
    """

    mounts: frozenset[Mount]
    processes: frozenset[Process]
    devices: frozenset[str]
    files: Mapping[str, str]
    locks: frozenset[Lock]
    descriptors: Mapping[int, tuple[str, ...]]
    taint: int
    messages: tuple[Message, ...] | None
    zfs: ZfsLedger = field(default_factory=ZfsLedger)

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> Self:
        """Make one of what the observer tells."""
        messages = told["messages"]
        return cls(
            mounts=frozenset(Mount.parse(row) for row in told["mounts"]),
            processes=frozenset(
                Process(row["pid"], row["started"], row["name"], row["command"])
                for row in told["processes"]
            ),
            devices=frozenset(told["devices"]),
            files=told["files"],
            locks=frozenset(Lock(**row) for row in told["locks"]),
            descriptors={int(pid): tuple(open_) for pid, open_ in told["descriptors"].items()},
            taint=told["taint"],
            messages=None if messages is None else tuple(Message(*row) for row in messages),
            zfs=ZfsLedger.parse(told["zfs"]),
        )


def difference(before: Ledger, after: Ledger) -> list[str]:
    """Return one line for each thing that was left behind, or that has gone; empty when equal.

    A new directory is told with the number of paths below it, not with each of them.
    """
    lines = _changes(before.mounts, after.mounts, key=_mount_key)
    lines += _changes(before.processes, after.processes, key=lambda one: (one.pid, one.started))
    lines += [f"left: device {name}" for name in sorted(after.devices - before.devices)]
    lines += [f"gone: device {name}" for name in sorted(before.devices - after.devices)]
    lines += _files(before.files, after.files)
    lines += zfsledger.difference(before.zfs, after.zfs)
    lines += [f"left: {one}" for one in sorted(map(str, after.locks - before.locks))]
    for pid in sorted(set(before.descriptors) & set(after.descriptors)):
        more = Counter(after.descriptors[pid]) - Counter(before.descriptors[pid])
        lines += [f"left: descriptor of process {pid}: {what!a} ({n})" for what, n in more.items()]
    return lines + _of_the_kernel(before, after)


def _of_the_kernel(before: Ledger, after: Ledger) -> list[str]:
    last = max((message.number for message in before.messages or ()), default=-1)
    told, passed_over = [], 0
    for report in _reports(one for one in after.messages or () if one.number > last):
        text = "\n".join(message.text for message in report)
        if any(all(word in text for word in (*words, _ENDS)) for words in _OF_THE_HOST):
            passed_over = _TAINT_WARN
        else:
            told += [f"kernel: {message.text}" for message in report if message.is_serious]
    if (before.taint ^ after.taint) & ~passed_over:
        told.insert(0, f"kernel: taint flags changed from {before.taint} to {after.taint}")
    return told


def _reports(messages: Iterable[Message]) -> list[list[Message]]:
    """Split the log: what stands between the marks of one report belongs together."""
    reports: list[list[Message]] = []
    within = False
    for message in messages:
        if within and _BEGINS not in message.text:
            reports[-1].append(message)
        else:
            reports.append([message])
        within = (within or _BEGINS in message.text) and _ENDS not in message.text
    return reports


def _mount_key(mount: Mount) -> Hashable:
    # A remount changes options, which is not another mount.
    return mount.namespace, mount.id, mount.target, mount.root, mount.fstype, mount.source


def _changes(
    before: Iterable[Item], after: Iterable[Item], key: Callable[[Item], Hashable]
) -> list[str]:
    old, new = {key(one): one for one in before}, {key(one): one for one in after}
    left = [f"left: {new[one]}" for one in new.keys() - old.keys()]
    return sorted(left) + sorted(f"gone: {old[one]}" for one in old.keys() - new.keys())


def _files(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    lines = _tops("left", after, after.keys() - before.keys())
    lines += _tops("gone", before, before.keys() - after.keys())
    both = before.keys() & after.keys()
    lines += [
        f"changed: {path!a} was a {before[path]} and is a {after[path]}"
        for path in sorted(both)
        if before[path] != after[path]
    ]
    return lines


def _tops(word: str, kinds: Mapping[str, str], paths: Iterable[str]) -> list[str]:
    """Name the topmost of ``paths``, each with how many of them lie below it."""
    below: Counter[str] = Counter()
    tops: list[str] = []
    for path in sorted(paths, key=lambda one: one.split("/")):
        if tops and path.startswith(f"{tops[-1]}/"):
            below[tops[-1]] += 1
        else:
            tops.append(path)
    return [
        f"{word}: {kinds[top]} {top!a}" + (f" with {below[top]} below it" if below[top] else "")
        for top in tops
    ]
