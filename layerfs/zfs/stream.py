"""The record that a send stream begins with: dmu_replay_record_t of sys/zfs_ioctl.h."""

from __future__ import annotations

import errno
import os
import struct
from typing import Final

from layerfs.zfs.failure import ZfsFailure

_SIZE: Final = 312
_MAGIC: Final = 0x2F5BACBAC  # DMU_BACKUP_MAGIC
#: Type and length of the payload, then of drr_begin: magic and versions.
_START: Final = struct.Struct("=IIQQ")
_DRR_BEGIN: Final = 0
_RAW: Final = 1 << 24  # DMU_BACKUP_FEATURE_RAW


def begin_record(fd: int, snapshot: str) -> bytes:
    """Read a stream's first record, 312 bytes; ZfsFailure (EINVAL): it is none of this machine's.

    The library asserts that it is one, instead of looking.
    """
    record = b""
    while len(record) < _SIZE:
        chunk = os.read(fd, _SIZE - len(record))
        if not chunk:
            break
        record += chunk
    if len(record) < _SIZE or _START.unpack_from(record)[0::2] != (_DRR_BEGIN, _MAGIC):
        raise ZfsFailure(errno.EINVAL, operation="receive", name=snapshot)
    return record


def is_raw(record: bytes) -> bool:
    """Say whether a stream is of blocks as they are on disk, encrypted (``zfs send -w``)."""
    features = _START.unpack_from(record)[3] >> 2 & (1 << 30) - 1
    return bool(features & _RAW)
