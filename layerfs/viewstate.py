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
from typing import Final

from layerfs import syscalls
from layerfs.catalog import MountRow
from layerfs.mountinfo import boot_id
from layerfs.opening import Parts

_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY


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
    forget_ended(parts, row)


def forget_ended(parts: Parts, row: MountRow) -> None:
    """As ``forget``, for a view that the backend has ended, which is not looked for again."""
    # Before the record goes: nobody else knows that the directory is ours.
    if row.created_target:
        remove_target(row.target)
    with parts.meta.transaction(durable=False):
        parts.meta.delete_mount(row.id)


def remove_target(target: str) -> None:
    """Remove the directory that ``stack`` made, unless it is gone, or in somebody's use.

    The path had no symlink but perhaps at its end when the view was made (``views.place``). One
    that is there now leads to a directory of somebody else's, which stays (openat2(2)).
    """
    parent, name = os.path.split(os.fsencode(target))
    with contextlib.suppress(OSError):
        fd = syscalls.openat2(
            syscalls.AT_FDCWD, parent, _DIRECTORY, resolve=syscalls.RESOLVE_NO_SYMLINKS
        )
        try:
            os.rmdir(name, dir_fd=fd)
        finally:
            os.close(fd)
