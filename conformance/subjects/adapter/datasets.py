"""The dataset of a store, made and mounted as an administrator does for an implementation."""

from __future__ import annotations

import os
import subprocess

from protocol import program

_COMPLAINTS = (
    (r"invalid|missing dataset name|must be", "validation-error"),
    (r"parent does not exist|no such pool|dataset does not exist", "zfs-dataset-not-found"),
    (r"cannot create", "zfs-dataset-create-failed"),
    (r"The ZFS modules|/dev/zfs", "zfs-error"),
)


def create(name: str) -> None:
    """Create a dataset that is mounted nowhere, unless it is there. Raises Refusal."""
    there = subprocess.run(["zfs", "list", name], capture_output=True, check=False)
    if there.returncode:
        program(["zfs", "create", "-o", "mountpoint=none", name], _COMPLAINTS)


def mount(name: str, path: str) -> None:
    """Mount a dataset at a directory, which is made, unless something is mounted there."""
    os.makedirs(path, exist_ok=True)
    if not os.path.ismount(path):
        program(["mount", "-t", "zfs", "-o", "zfsutil", name, path], _COMPLAINTS)


def unmount(path: str) -> None:
    """Unmount what is mounted at a directory."""
    if os.path.ismount(path):
        program(["umount", path], ((r"target is busy", "unmount-failed"),))
