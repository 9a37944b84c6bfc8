"""Counts what exists in ZFS pools right now: datasets, snapshots, bookmarks, holds, properties.

Standard library only and fit for Python 3.9: the observer takes it along to the host. A process
start is what is dear there, so that nothing is started where no pool is ours, and two, side by
side, where one is; a third only for snapshots that are held. What vanishes while it is being looked
at did not exist. Raises OSError. Sources: zfs-list(8), zfs-get(8), zfs-hold(8).

Each dataset costs ``zfs get`` some 5 ms (and 80 ms where the machine is emulated), ``zfs list`` a
third of that; so properties of snapshots are left out, which would double it.
"""

from __future__ import annotations

from typing import Any

from harness import pools, zfstool

_SECONDS = 300.0
#: Something vanished in between; more often than this it is something else.
_TRIES = 3
#: zfs-get(8), SOURCE: of what was set on the dataset itself.
_SET = frozenset({"local", "received"})


def count() -> dict[str, Any]:
    """Return everything in the pools of our name; of all others, that they are there.

    Others' pools are like others' files: what happens in them is nobody's leak.
    """
    names = pools.imported()
    ours = [name for name in names if pools.NAME.fullmatch(name)]
    found: dict[str, Any] = {
        "pools": [[name, _kstat(name, "guid"), _kstat(name, "state")] for name in ours],
        "entries": [],
        "holds": [],
        "properties": [],
    }
    found["pools"] += [[name, _kstat(name, "guid"), ""] for name in names if name not in ours]
    if ours:
        for left in reversed(range(_TRIES)):
            try:
                found.update(_contents(ours))
                break
            except OSError as error:
                if error.errno is not None or not left:
                    raise
    return found


def _kstat(pool: str, name: str) -> str:
    return pools.read(f"{pools.KSTAT}/{pool}/{name}")


def _contents(watched: list[str]) -> dict[str, Any]:
    """Return the rows of what is in these pools, each in the order of the fields that are named."""
    there = zfstool.Running(
        ["zfs", "list", "-Hpr", "-t", "all", "-o", "name,type,guid,origin,userrefs", *watched]
    )
    try:
        settings = zfstool.run(
            "zfs", "get", "-Hpr", "-t", "filesystem,volume", "-s", "local,received",
            "-o", "name,property,source,value", "all", *watched, timeout=_SECONDS,
        )  # fmt: skip
    finally:
        listed = there.text(timeout=_SECONDS)
    rows = [line.split("\t") for line in listed.splitlines()]
    held = [row[0] for row in rows if row[1] == "snapshot" and row[4] not in {"0", "-"}]
    holds = zfstool.run("zfs", "holds", "-H", *held, timeout=_SECONDS) if held else ""
    return {
        "entries": [row[:4] for row in rows],
        "holds": [line.split("\t")[:2] for line in holds.splitlines()],
        "properties": properties(settings),
    }


def properties(told: str) -> list[list[str]]:
    """Return (name, property, value) of what ``zfs get`` told, values of several lines too."""
    found: list[list[str]] = []
    for line in told.splitlines():
        fields = line.split("\t", 3)
        if len(fields) == 4 and fields[2] in _SET:
            found.append([fields[0], fields[1], fields[3]])
        elif found:
            found[-1][2] += f"\n{line}"
    return found
