"""What ZFS refuses: one exception with the kernel's number, and its way to layerfs's errors."""

from __future__ import annotations

import errno as _errno
import os
from typing import Final

from layerfs.errors import (
    LayerFSError,
    PermissionDeniedError,
    ReadOnlyFilesystemError,
    StorageError,
    WriteFailedError,
    ZFSCloneFailedError,
    ZFSDatasetCreateFailedError,
    ZFSDatasetDestroyFailedError,
    ZFSDatasetNotFoundError,
    ZFSError,
    ZFSSnapshotFailedError,
)

#: zfs_errno_t of sys/fs/zfs.h: numbers that errno(3) has not. Those that our operations can meet.
ZFS_ERR_IOC_CMD_UNAVAIL: Final = 1029
ZFS_ERR_IOC_ARG_UNAVAIL: Final = 1030
ZFS_ERR_IOC_ARG_REQUIRED: Final = 1031
ZFS_ERR_IOC_ARG_BADTYPE: Final = 1032
ZFS_ERR_WRONG_PARENT: Final = 1033
ZFS_ERR_UNKNOWN_SEND_STREAM_FEATURE: Final = 1037
ZFS_ERR_EXPORT_IN_PROGRESS: Final = 1038
ZFS_ERR_STREAM_TRUNCATED: Final = 1040
ZFS_ERR_STREAM_LARGE_BLOCK_MISMATCH: Final = 1041
ZFS_ERR_BADPROP: Final = 1044
#: sys/zfs_context.h on Linux: what the module says where other systems have ECKSUM.
ECKSUM: Final = _errno.EBADE

_ZFS_TEXTS: Final = {
    ZFS_ERR_IOC_CMD_UNAVAIL: "the loaded zfs module does not know this operation",
    ZFS_ERR_IOC_ARG_UNAVAIL: "the loaded zfs module does not know an option of this operation",
    ZFS_ERR_IOC_ARG_REQUIRED: "the loaded zfs module wants an option that was not given",
    ZFS_ERR_IOC_ARG_BADTYPE: "the loaded zfs module wants an option of another type",
    ZFS_ERR_WRONG_PARENT: "the parent is no filesystem",
    ZFS_ERR_UNKNOWN_SEND_STREAM_FEATURE: "the stream has a feature that this zfs does not know",
    ZFS_ERR_EXPORT_IN_PROGRESS: "the pool is being exported",
    ZFS_ERR_STREAM_TRUNCATED: "the stream ends too early",
    ZFS_ERR_STREAM_LARGE_BLOCK_MISMATCH: "the stream's block size differs from the dataset's",
    ZFS_ERR_BADPROP: "a property's value is not valid",
    ECKSUM: "the stream is damaged, or ends too early",
}
#: What a number means in ZFS, where strerror(3) would mislead.
_TEXTS: Final = {
    _errno.ENOENT: "it does not exist",
    _errno.EEXIST: "it exists already",
    _errno.EBUSY: "it is busy",
    _errno.EXDEV: "the pools, or the lines of snapshots, differ",
    _errno.ENOSPC: "the pool is full",
    _errno.EDQUOT: "a quota is reached",
    _errno.EROFS: "the pool was imported readonly",
    _errno.EAGAIN: "the pool's input and output is suspended",
    _errno.ESRCH: "there is no such hold",
    _errno.ETXTBSY: "it was changed since its newest snapshot",
    _errno.ENODEV: "its newest snapshot is not the one that the stream begins with",
}
#: Where the operation gives the number another meaning still.
_TEXTS_OF: Final = {
    ("create", _errno.ENOENT): "the parent does not exist",
    ("destroy", _errno.EEXIST): "it has children",
    ("destroy", _errno.EBUSY): "it is mounted, or has snapshots",
    ("destroy snapshots", _errno.EEXIST): "the snapshot is cloned",
    ("destroy snapshots", _errno.EBUSY): "the snapshot is mounted, held, or being sent",
    ("promote", _errno.EEXIST): "a snapshot of that name exists on both sides",
    ("promote", _errno.EINVAL): "it is no clone",
    ("hold", _errno.EEXIST): "a hold with this tag exists already",
    ("receive", _errno.EINVAL): "the stream is not valid",
}
_REMEDIES: Final = {
    _errno.ENOSPC: "free space in the pool, then retry",
    _errno.EDQUOT: "raise the quota, or free space below it, then retry",
    _errno.EPERM: "run as root",
    _errno.EACCES: "run as root",
    _errno.EROFS: "import the pool writable",
    _errno.EAGAIN: "`zpool status` says why, `zpool clear` resumes it",
    ZFS_ERR_IOC_CMD_UNAVAIL: "load the module that belongs to the installed tools (reboot)",
    ZFS_ERR_IOC_ARG_UNAVAIL: "load the module that belongs to the installed tools (reboot)",
}
_REMEDIES_OF: Final = {
    ("destroy", _errno.EBUSY): "unmount it, and destroy its snapshots",
    ("destroy snapshots", _errno.EEXIST): "destroy its clones first",
    ("destroy snapshots", _errno.EBUSY): "unmount it, or release its holds",
    ("create", _errno.ENOENT): "create it first",
}
_KINDS: Final[dict[str, type[LayerFSError]]] = {
    "create": ZFSDatasetCreateFailedError,
    "clone": ZFSCloneFailedError,
    "snapshot": ZFSSnapshotFailedError,
    "destroy": ZFSDatasetDestroyFailedError,
    "destroy snapshots": ZFSDatasetDestroyFailedError,
    "remove": ZFSDatasetDestroyFailedError,
    "hold": ZFSSnapshotFailedError,
    "release": ZFSSnapshotFailedError,
}
_FULL: Final = {_errno.ENOSPC, _errno.EDQUOT}
_DENIED: Final = {_errno.EPERM, _errno.EACCES}


class ZfsFailure(Exception):  # noqa: N818 - it becomes one of layerfs's errors, and is none itself
    """ZFS refused an operation, which changed nothing unless its description says otherwise.

    ``errno``: the kernel's number, or a ``ZFS_ERR_*`` from 1024 on. ``name``: the dataset or
    snapshot concerned. ``operation``: the name of the operation in words, such as ``destroy
    snapshots``. ``text``: one line, without the other three.
    """

    def __init__(self, errno: int, *, operation: str, name: str, text: str = "") -> None:
        self.errno = errno
        self.operation = operation
        self.name = name
        self.text = " ".join(text.split()) or explained(operation, errno)
        super().__init__(f"zfs {operation} {name!r}: {self.text} ({code_name(errno)})")


def code_name(errno: int) -> str:
    """Return the symbol of a number, such as ``EBUSY``; for those of ZFS the number itself."""
    return _errno.errorcode.get(errno, f"zfs error {errno}")


def explained(operation: str, errno: int) -> str:
    """Say what a number means in an operation."""
    return (
        _TEXTS_OF.get((operation, errno))
        or _TEXTS.get(errno)
        or _ZFS_TEXTS.get(errno)
        or os.strerror(errno)
    )


def refusal(failure: ZfsFailure) -> LayerFSError:
    """Return what layerfs raises for a failure: the one mapping from numbers to classes.

    A missing dataset, a full or read-only pool, and a want of privilege have classes of their own,
    whatever was done; the rest is told apart by the operation.
    """
    number = failure.errno
    remedy = _REMEDIES_OF.get((failure.operation, number)) or _REMEDIES.get(number)
    message = f"{failure}; {remedy}" if remedy else str(failure)
    kind: type[LayerFSError]
    if number in _FULL:
        kind = WriteFailedError
    elif number == _errno.EROFS:
        kind = ReadOnlyFilesystemError
    elif number in _DENIED:
        kind = PermissionDeniedError
    elif number == _errno.ENOENT:
        kind = ZFSDatasetNotFoundError
    elif number == _errno.EIO:
        kind = StorageError
    else:
        kind = _KINDS.get(failure.operation, ZFSError)
    return kind(message, errno=number)
