"""Attach mounts that have been made apart, and say in our words why one could not be made.

A mount is made first and attached then: until ``attach`` it is visible to nobody, and goes with its
descriptor, however the process ends. Here are the mounts of datasets; ``mounts`` makes overlays.

Sources: fsopen(2), fsmount(2), move_mount(2), mount_setattr(2).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence

from layerfs import syscalls
from layerfs.errors import (
    InvalidMountPointError,
    InvalidOverlayError,
    LayerFSError,
    MountFailedError,
    PermissionDeniedError,
    UnmountFailedError,
)
from layerfs.syscalls import Path

REMEDY = "mounting needs CAP_SYS_ADMIN: run as root, or inside `unshare -Urm`"
_FILE_SYSTEMS = {"overlay": "overlayfs", "dataset": "ZFS"}
_MODULES = {"overlay": "overlay", "dataset": "zfs"}
_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@contextlib.contextmanager
def closing(fd: int) -> Iterator[int]:
    """Close a descriptor at the end."""
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def opened_target(target: Path) -> Iterator[int]:
    """Give a descriptor of the directory to mount on. InvalidMountPointError: it is none.

    Symlinks at its end are not followed.
    """
    # Held open, so that what was checked is what is mounted on, even if it is renamed meanwhile.
    try:
        fd = os.open(target, _OPEN | os.O_NOFOLLOW)
    except OSError as error:
        raise InvalidMountPointError(
            f"cannot mount on {os.fsdecode(target)!r}: {error.strerror}",
            path=target,
            errno=error.errno,
        ) from error
    with closing(fd):
        yield fd


def attach(mount_fd: int, target_fd: int, target: Path, what: str = "overlay") -> None:
    """Put a mount that is attached nowhere on a directory, and make it private.

    Nothing is mounted after an error, which is what ``refused`` returns.
    """
    moving = syscalls.MOVE_MOUNT_F_EMPTY_PATH | syscalls.MOVE_MOUNT_T_EMPTY_PATH
    try:
        syscalls.move_mount(mount_fd, "", target_fd, "", moving)
    except OSError as error:
        raise refused(error, [], os.fsdecode(target), what) from error
    try:
        syscalls.mount_setattr(
            mount_fd, "", syscalls.AT_EMPTY_PATH, propagation=syscalls.MS_PRIVATE
        )
    except OSError as error:
        undo(target)
        raise refused(error, [], "making the mount private", what) from error


def undo(target: Path) -> None:
    """Unmount what was just mounted. UnmountFailedError: it cannot be."""
    try:
        syscalls.umount2(target)
    except OSError as error:
        raise UnmountFailedError(
            f"{os.fsdecode(target)!r} was mounted, is not as it should be, and cannot be "
            f"unmounted: {error.strerror}",
            path=target,
            errno=error.errno,
        ) from error


def refused(
    error: OSError, log: Sequence[str], doing: str = "", what: str = "overlay"
) -> LayerFSError:
    """Return what a refused mount is in our words; ``log`` is the kernel's own (fsopen(2))."""
    said = "; ".join(line[2:] if line[1:2] == " " else line for line in log)
    text = ": ".join(part for part in (doing, said, error.strerror or str(error)) if part)
    if error.errno in {errno.EPERM, errno.EACCES} and not log:
        remedy = f"; {REMEDY}" if error.errno == errno.EPERM else ""
        return PermissionDeniedError(f"cannot mount the {what}: {text}{remedy}", errno=error.errno)
    if error.errno == errno.ENODEV:
        return InvalidOverlayError(
            f"this kernel has no {_FILE_SYSTEMS[what]}: load it with `modprobe {_MODULES[what]}`",
            errno=error.errno,
        )
    if error.errno == errno.EINVAL and not log:
        text += " (the kernel's log, dmesg(1), may say more)"
    return MountFailedError(f"cannot mount the {what}: {text}", errno=error.errno)


def open_dataset(name: str, *, readonly: bool) -> int:
    """Mount a dataset, or a zfs snapshot; return the mount, attached nowhere, as a descriptor.

    Neither its mountpoint property nor mount.zfs(8) takes part. Raises FileNotFoundError when there
    is no such dataset, PermissionDeniedError, InvalidOverlayError (no ZFS in this kernel),
    MountFailedError.
    """
    log: list[str] = []
    try:
        with closing(syscalls.fsopen("zfs")) as context:
            try:
                syscalls.fsconfig_set_string(context, "source", name)
                if readonly:
                    syscalls.fsconfig_set_flag(context, "ro")
                syscalls.fsconfig_create(context)
                return syscalls.fsmount(context, syscalls.MOUNT_ATTR_RDONLY if readonly else 0)
            except OSError:
                log = syscalls.context_log(context)
                raise
    except FileNotFoundError:
        raise
    except OSError as error:
        raise refused(error, log, name, "dataset") from error
