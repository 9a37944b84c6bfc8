"""Undo or finish what dead operations left, when a store is opened. Every step can be repeated.

An operation whose lock can be taken is dead (``staging``). Its intent says what it was about to
change outside of its own directory; whether it came to its commit, the database knows. What one
dead operation makes impossible (a busy mount, a disk's error) does not keep the store from being
opened: its directory stays, ``check`` names it, and the next ``open`` tries again.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from layerfs import reserve
from layerfs.errors import LayerFSError
from layerfs.mountinfo import boot_id
from layerfs.opening import Parts, open_parts
from layerfs.viewstate import drop_stale


def open_recovered(root: Path, *, readonly: bool, recover: bool, zfs: str | None = None) -> Parts:
    """Open a store, and (not ``readonly``) bring it in order. Raises what ``open_parts`` raises."""
    parts = open_parts(root, readonly=readonly, recover=recover, zfs=zfs)
    try:
        if not readonly:
            settle(parts)
            reserve.keep(parts.root)
    except BaseException:
        parts.close()
        raise
    return parts


def settle(parts: Parts) -> list[str]:
    """Undo or finish all dead operations; forget views of earlier boots.

    Returns what could not be done, as sentences.
    """
    failed = []
    for operation in parts.staging.dead():
        from layerfs import undoing  # noqa: PLC0415 - for this rare case only

        try:
            undoing.end(parts, operation)
        except LayerFSError as error:
            failed.append(f"operation {operation.id}: {error.message}")
    _drop_rows(parts)
    _note_boot(parts)
    return failed


def _note_boot(parts: Parts) -> None:
    """At the first opening after a reboot, remove directories of views whose record it lost.

    Views are recorded without waiting for the disk (``metastore``).
    """
    noted = parts.meta.setting("boot")
    if noted == boot_id():
        return
    if noted is not None:
        from layerfs.check import orphan_runs  # noqa: PLC0415 - once for each boot

        for name in orphan_runs(parts):
            # What cannot be removed, ``check`` names.
            with contextlib.suppress(LayerFSError):
                if not parts.backend.held(parts.run / name):
                    parts.backend.forget_view(parts.run / name)
    with parts.meta.transaction(durable=False):
        parts.meta.set_setting("boot", boot_id())


def _drop_rows(parts: Parts) -> None:
    """Drop rows whose owner cannot come back: views of earlier boots, leases of dead operations."""
    views = parts.meta.mounts_of_other_boots(boot_id())
    leases = [
        name
        for name, operation in parts.meta.roots.operation_leases()
        if not parts.staging.alive(operation)
    ]
    if not views and not leases:
        return
    with parts.lock():
        drop_stale(parts, views)
        with parts.meta.transaction():
            for name in leases:
                parts.meta.roots.delete_lease(name)
