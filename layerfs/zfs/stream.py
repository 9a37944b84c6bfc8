"""The record that a send stream begins with: dmu_replay_record_t of sys/zfs_ioctl.h."""

from __future__ import annotations

import errno
import os
import struct
from typing import Final, NamedTuple

from layerfs.zfs.failure import ZfsFailure

#: Bytes of the first record.
SIZE: Final = 312
_MAGIC: Final = 0x2F5BACBAC  # DMU_BACKUP_MAGIC
#: Type and length of the payload, then of drr_begin: magic and versions.
_START: Final = struct.Struct("=IIQQ")
_DRR_BEGIN: Final = 0
_RAW: Final = 1 << 24  # DMU_BACKUP_FEATURE_RAW
#: DMU_BACKUP_FEATURE_RESUMING and _REDACTED: of a part of a snapshot only.
_PARTIAL: Final = 1 << 20 | 1 << 21
#: After the versions: creation time, type of objects, flags, guids of the snapshot and its base.
_REST: Final = struct.Struct("=QIIQQ")
_SUBSTREAM: Final = 1  # DMU_SUBSTREAM; a compound one has several snapshots, or properties
_FILESYSTEM: Final = 2  # DMU_OST_ZFS


class Begin(NamedTuple):
    """What the first record says: of which snapshot it is, by guid; ``base`` is 0 for a full one.

    ``plain``: it is of one filesystem's snapshot, whole, not raw, and without properties.
    """

    guid: int
    base: int
    plain: bool


def begin_record(fd: int, snapshot: str) -> bytes:
    """Read a stream's first record, 312 bytes; ZfsFailure (EINVAL): it is none of this machine's.

    The library asserts that it is one, instead of looking.
    """
    record = b""
    while len(record) < SIZE:
        chunk = os.read(fd, SIZE - len(record))
        if not chunk:
            break
        record += chunk
    if said(record) is None:
        raise ZfsFailure(errno.EINVAL, operation="receive", name=snapshot)
    return record


def is_raw(record: bytes) -> bool:
    """Say whether a stream is of blocks as they are on disk, encrypted (``zfs send -w``)."""
    features = _START.unpack_from(record)[3] >> 2 & (1 << 30) - 1
    return bool(features & _RAW)


def said(record: bytes) -> Begin | None:
    """Return what a stream's first record says; None: it is none of this machine's."""
    if len(record) < SIZE or _START.unpack_from(record)[0::2] != (_DRR_BEGIN, _MAGIC):
        return None
    versions = _START.unpack_from(record)[3]
    _, kind, _, guid, base = _REST.unpack_from(record, _START.size)
    whole = not versions >> 2 & (_RAW | _PARTIAL)
    return Begin(guid, base, versions & 3 == _SUBSTREAM and kind == _FILESYSTEM and whole)
