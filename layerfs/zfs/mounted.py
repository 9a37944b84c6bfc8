"""Whether a dataset is mounted in the mount namespace of this process."""

from __future__ import annotations


def is_mounted(dataset: str) -> bool:
    """Look ``dataset``, a valid name, up in ``/proc/self/mounts``, as ``zfs get mounted`` does.

    Other namespaces may have it mounted all the same.
    """
    # Valid names have no character that this file escapes.
    begin = f"{dataset} ".encode()
    with open("/proc/self/mounts", "rb") as mounts:
        return any(line.startswith(begin) and b" zfs " in line for line in mounts)
