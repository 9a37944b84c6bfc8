"""Which recorded views are alive, and forgetting those that are not.

A view is recorded before it is mounted and forgotten after it is unmounted, so that its layers are
never without a holder while it lives. In between, a reboot, the end of its mount namespace, or a
umount(8) by hand can leave a row without a mount. Callers of what writes hold the store's lock.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from layerfs.catalog import MountRow
from layerfs.mountinfo import boot_id
from layerfs.opening import Parts


def run_of(parts: Parts, row: MountRow) -> Path:
    """Return the directory of the view's own directories."""
    return parts.run / row.id


def is_mounted(parts: Parts, row: MountRow) -> bool:
    """Say whether the view is mounted at its target, in this mount namespace."""
    return row.boot == boot_id() and parts.backend.mounted(Path(row.target), run_of(parts, row))


def is_live(parts: Parts, row: MountRow) -> bool:
    """Say whether the view is mounted, in whatever namespace, or just being made."""
    if row.boot != boot_id():
        return False
    return (
        is_mounted(parts, row)
        or parts.staging.alive(row.id)
        or bool(parts.backend.held(run_of(parts, row)))
    )


def drop_stale(parts: Parts, rows: Iterable[MountRow]) -> list[MountRow]:
    """Forget those of the views that are not alive; return them."""
    stale = [row for row in rows if not is_live(parts, row)]
    for row in stale:
        forget(parts, row)
    return stale


def forget(parts: Parts, row: MountRow) -> None:
    """Remove what is left of an unmounted view: directories, record, and the target if it is ours.

    UnmountFailedError, and nothing removed, when it is still mounted somewhere and busy.
    """
    parts.backend.end_view(Path(row.target), run_of(parts, row))
    # Before the record goes: nobody else knows that the directory is ours.
    if row.created_target:
        remove_target(row.target)
    with parts.meta.transaction():
        parts.meta.delete_mount(row.id)


def remove_target(target: str) -> None:
    """Remove the directory that ``stack`` made, unless it is gone, or in somebody's use."""
    with contextlib.suppress(OSError):
        os.rmdir(target)
