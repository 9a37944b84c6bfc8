"""From what the ``zfs`` command says on standard error to the number that the kernel gave it.

The command has no exit statuses, only texts: those of libzfs (libzfs_util.c, libzfs_dataset.c,
libzfs_sendrecv.c), untranslated under LC_ALL=C. Both OpenZFS 2.1 and 2.3 were looked at.
"""

from __future__ import annotations

import errno
from typing import Final

from layerfs.zfs.failure import (
    ECKSUM,
    ZFS_ERR_BADPROP,
    ZFS_ERR_IOC_CMD_UNAVAIL,
    ZFS_ERR_STREAM_LARGE_BLOCK_MISMATCH,
    ZFS_ERR_STREAM_TRUNCATED,
    ZFS_ERR_UNKNOWN_SEND_STREAM_FEATURE,
    ZFS_ERR_WRONG_PARENT,
)

#: What is said, and what it means; the first that occurs counts.
_NUMBERS: Final = (
    ("tag already exists on this dataset", errno.EEXIST),
    ("no such tag on this dataset", errno.ESRCH),
    ("tag too long", errno.E2BIG),
    ("checksum mismatch or incomplete stream", ECKSUM),
    ("checksum mismatch", ECKSUM),
    ("incomplete stream", ZFS_ERR_STREAM_TRUNCATED),
    ("stream has unsupported feature", ZFS_ERR_UNKNOWN_SEND_STREAM_FEATURE),
    ("to match previous receive", ZFS_ERR_STREAM_LARGE_BLOCK_MISMATCH),
    ("has been modified since most recent snapshot", errno.ETXTBSY),
    ("most recent snapshot of", errno.ENODEV),
    ("not an earlier snapshot from the same fs", errno.EXDEV),
    ("source and target pools differ", errno.EXDEV),
    ("must be within same pool", errno.EXDEV),
    ("multiple snapshots of same fs not allowed", errno.EXDEV),
    ("cannot be a descendant of", errno.EINVAL),
    ("local origin for clone", errno.ENOENT),
    ("parent does not exist", errno.ENOENT),
    ("no such parent", errno.ENOENT),
    ("does not exist", errno.ENOENT),
    ("no such pool", errno.ENOENT),
    ("incremental source", errno.EXDEV),
    ("dependent clones", errno.EEXIST),
    ("already exists", errno.EEXIST),
    ("destination '", errno.EEXIST),
    ("pool or dataset exists", errno.EEXIST),
    ("is busy", errno.EBUSY),
    ("parent is not a filesystem", ZFS_ERR_WRONG_PARENT),
    ("invalid parent dataset", ZFS_ERR_WRONG_PARENT),
    ("quota exceeded", errno.EDQUOT),
    ("out of space", errno.ENOSPC),
    ("No space left on device", errno.ENOSPC),
    ("ermission denied", errno.EPERM),
    ("pool is read-only", errno.EROFS),
    ("currently suspended", errno.EAGAIN),
    ("name is too long", errno.ENAMETOOLONG),
    ("nesting depth exceeded", errno.ENAMETOOLONG),
    ("invalid property value", ZFS_ERR_BADPROP),
    ("must be upgraded", errno.ENOTSUP),
    ("does not support this operation", ZFS_ERR_IOC_CMD_UNAVAIL),
    ("signal received", errno.EINTR),
    ("out of memory", errno.ENOMEM),
    ("Broken pipe", errno.EPIPE),
    ("Bad file descriptor", errno.EBADF),
    ("I/O error", errno.EIO),
    ("invalid stream", errno.EINVAL),
    ("invalid backup stream", errno.EINVAL),
    ("failed to read from stream", errno.EINVAL),
    # Of channel programs: zfs_main.c, zfs_do_channel_program().
    ("Memory limit exhausted", errno.ENOMEM),
    ("Return value too large", errno.ENOMEM),
    ("imed out", errno.ETIME),
    ("Invalid argument", errno.EINVAL),
    ("invalid", errno.EINVAL),
)


def number(errors: str) -> int:
    """Return what the kernel said; EPROTO for a text that is not known here."""
    text = " ".join(errors.split())  # libzfs breaks its lines
    for words, found in _NUMBERS:
        if words in text:
            return found
    return errno.EPROTO


def of_program(errors: str) -> int:
    """Return what a channel program failed of; ECHRNG, a fault of Lua, when it is nothing else."""
    opened = program_pool(errors)
    if opened is not None:
        return opened
    found = number(errors)
    return errno.ECHRNG if found == errno.EPROTO or "stack traceback" in errors else found


def program_pool(errors: str) -> int | None:
    """Return why a channel program could not begin; None when it did.

    OpenZFS 2.1 does not tell the number. A pool that is not there is found out before that: so it
    is full to its last reserve.
    """
    _, begun, rest = errors.partition("Could not open pool: ")
    if not begun:
        return None
    _, _, told = rest.partition("errno: ")
    digits = told[: len(told) - len(told.lstrip("0123456789"))]
    return int(digits) if digits else errno.ENOSPC


def told(errors: str) -> str:
    """Return the text without what repeats the operation: the part after the first name."""
    line = " ".join(errors.partition("usage:")[0].split())
    _, quoted, rest = line.partition("': ")
    return rest if quoted else line


def named(errors: str, names: list[str]) -> str:
    """Return the one of the snapshots that the text is about; the first when it names none.

    A dataset that is missing is named itself.
    """
    words = {word.strip("':") for word in errors.split()}
    found = (name for name in names if name in words or name.partition("@")[0] in words)
    return next(found, names[0])
