"""What a pool can do, which only the ``zpool`` command tells; libzfs_core has no call for it."""

from __future__ import annotations

import errno
from typing import Final

from layerfs.zfs import process, texts
from layerfs.zfs.failure import ZfsFailure
from layerfs.zfs.records import PoolFeatures

_SECONDS: Final = 120.0


def features(pool: str, *, channel_programs: bool) -> PoolFeatures:
    """Ask ``zpool get all``; one process start. ZfsFailure: no such pool, or no such command."""
    path = process.find("zpool")
    if path is None:
        raise ZfsFailure(errno.ENOENT, operation="get", name=pool, text="there is no zpool command")
    asked = ["get", "-H", "-p", "-o", "property,value", "all", pool]
    done = process.run(path, asked, seconds=_SECONDS)
    if done.status:
        number = texts.number(done.errors)
        raise ZfsFailure(number, operation="get", name=pool, text=texts.told(done.errors))
    values = dict(line.split("\t", 1) for line in done.output.decode().splitlines())
    enabled = frozenset(
        name.removeprefix("feature@")
        for name, value in values.items()
        if name.startswith("feature@") and value in {"enabled", "active"}
    )
    return PoolFeatures(
        version=_told("version") or "",
        enabled=enabled,
        block_cloning="block_cloning" in enabled and _told("parameters/zfs_bclone_enabled") != "0",
        channel_programs=channel_programs,
    )


def _told(what: str) -> str | None:
    try:
        with open(f"/sys/module/zfs/{what}") as file:
            return file.read().strip()
    except FileNotFoundError:  # a parameter that this version has not
        return None
