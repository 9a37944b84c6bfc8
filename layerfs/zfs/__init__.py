"""The only place of layerfs that talks to ZFS: what can be asked of it, by two ways, both alike.

``open_zfs`` chooses one: libzfs_core, called directly, or the ``zfs`` command. Both take full
names, ``pool/a/b`` and ``pool/a/b@snap``, never patterns, and validate them; both raise
`ZfsFailure` with the kernel's error number, which ``refusal`` turns into one of layerfs's errors.
Nothing here is repeated, waited for, or decided: what may be destroyed is the backend's business.

Nothing that is made here is mounted by ZFS, now or at the next boot: ``canmount`` is ``noauto``, or
``off``. Mounting is done elsewhere, as is unmounting: what is mounted is busy, and stays.

Limits, of both ways: channel programs need root, and a pool that was imported writable; each leaves
a record in the pool's history.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from layerfs.errors import UnsupportedError, ValidationError
from layerfs.zfs.failure import ZfsFailure, refusal
from layerfs.zfs.records import (
    Facts,
    Obstacle,
    PoolFeatures,
    Property,
    Row,
    SnapshotFacts,
    SnapshotRow,
)

__all__ = [
    "Datasets",
    "Facts",
    "Obstacle",
    "PoolFeatures",
    "Property",
    "Reading",
    "Removal",
    "Row",
    "SnapshotFacts",
    "SnapshotRow",
    "Snapshots",
    "Streams",
    "Zfs",
    "ZfsFailure",
    "open_zfs",
    "refusal",
]

_VARIABLE: Final = "LAYERFS_ZFS"
_WAYS: Final = ("libzfs_core", "command")
_REMEDY: Final = "install OpenZFS 2.1 or newer (Debian: zfsutils-linux) and run `modprobe zfs`"


class Datasets(Protocol):
    """Filesystems, made and changed. After a ZfsFailure nothing is changed.

    ``properties``: native ones (those of `layerfs.zfs.properties`) and the user's, with a colon;
    another one is a ValidationError.
    """

    def create(self, dataset: str, properties: Mapping[str, str] = ...) -> None:
        """Make a filesystem. ENOENT: the failure's ``name`` is the parent; EEXIST: it is there."""

    def clone(self, snapshot: str, dataset: str, properties: Mapping[str, str] = ...) -> None:
        """Make a filesystem out of a snapshot of the same pool (EXDEV: of another one).

        ENOENT: ``name`` is the snapshot, or the parent of ``dataset``, whichever is missing.
        """

    def rename(self, dataset: str, to: str) -> None:
        """Give a filesystem another name, or another parent of the same pool (EXDEV).

        What is mounted stays mounted where it is. EEXIST: ``to`` is there.
        """

    def promote(self, dataset: str) -> None:
        """Make a clone the owner of the snapshots that it shares with its origin.

        EINVAL: it is no clone. EEXIST: ``name`` is its own snapshot whose name is taken.
        """

    def set_user_properties(self, name: str, properties: Mapping[str, str | None]) -> None:
        """Set user properties of a dataset or snapshot, all or none; None takes one away.

        They are durable at the return. A value has less than 8192 bytes, and no NUL.
        """


class Snapshots(Protocol):
    """Snapshots and their holds. After a ZfsFailure nothing is changed."""

    def snapshot(self, snapshots: Sequence[str], properties: Mapping[str, str] = ...) -> None:
        """Take snapshots of different datasets of one pool at the same moment, all or none.

        ``properties`` are the user's, for each of them. EEXIST and ENOENT: ``name`` tells of which.
        """

    def destroy_snapshots(self, snapshots: Sequence[str], *, defer: bool = False) -> None:
        """Destroy snapshots of one pool, all or none. Those that are not there count as destroyed.

        EEXIST: one has a clone. EBUSY: it is held, mounted, or being sent. ``defer``: what has a
        clone or a hold is destroyed when it has none any more; a mounted one is refused all the
        same, even when ``.zfs/snapshot`` has mounted it: ``zfs destroy`` would unmount that.
        """

    def hold(self, snapshot: str, tag: str) -> None:
        """Keep a snapshot from being destroyed, across reboots. EEXIST: the tag is there."""

    def release(self, snapshot: str, tag: str) -> None:
        """Take back a hold. ESRCH: there is none with this tag."""


class Removal(Protocol):
    """Datasets, destroyed."""

    def destroy(self, dataset: str) -> None:
        """Destroy a filesystem that has no children (EEXIST) and no snapshots (EBUSY).

        EBUSY also when it is mounted, in whatever namespace; `Reading.facts_of` tells the two
        apart. Its bookmarks go with it.
        """

    def remove(self, datasets: Sequence[str], *, snapshot: str) -> list[Obstacle]:
        """Destroy datasets of one pool, each with its only snapshot ``@snapshot``, all or none.

        They may be clones and children of each other, in any order; clones and children go first.
        A dataset that is not there, or has no snapshot, is fine. One channel program in one
        transaction first looks for all that is in the way: another snapshot, a hold, a bookmark, a
        clone or child outside of ``datasets``, and whether one is busy (mounted in whatever
        namespace, being sent or received). When it finds something it returns that, and has changed
        nothing. Otherwise all is destroyed, durably, and the list is empty; space is freed
        afterwards.

        A signal, SIGKILL included, finds it not begun or done (zcp.c, zcp_lua_counthook()). A
        ZfsFailure after the check (the disk, EIO) may leave some destroyed: ``name`` is the first
        that was not, and calling again goes on. In a pool so full that no rollback would be
        allowed, what is mounted cannot be seen beforehand: there a mounted dataset stays, without
        its snapshot (EBUSY).
        """


class Streams(Protocol):
    """Send streams, through descriptors of files, pipes or sockets."""

    def send(self, snapshot: str, fd: int, from_: str | None = None) -> None:
        """Write a stream of ``snapshot``, or of what changed since ``from_``.

        ``from_`` is an older snapshot of the same dataset, or its origin, or one before that
        (EXDEV: it is not). After a failure, a part of the stream has been written. EPIPE: nobody
        reads any more.
        """

    def receive(
        self,
        snapshot: str,
        fd: int,
        properties: Mapping[str, str] = ...,
        origin: str | None = None,
    ) -> None:
        """Make ``snapshot`` from a stream: with its filesystem, or as its next snapshot.

        ``origin`` is the snapshot that an incremental stream of a clone begins with; without it,
        libzfs_core refuses such a stream (EINVAL), and the command looks for the origin by guid,
        which is the one difference between the two. ENODEV: it is another one. EINVAL: this is no
        stream. ECKSUM (EBADE) or ZFS_ERR_STREAM_TRUNCATED: it is damaged or cut short.
        EEXIST: the snapshot is there. After a failure nothing has been made, and some of the stream
        has been read; but a failure that names a property leaves the snapshot, without that
        property.
        """


class Reading(Protocol):
    """What is there."""

    def exists(self, name: str) -> bool:
        """Say whether there is a dataset or snapshot of this name."""

    def properties(self, name: str, properties: Iterable[str]) -> dict[str, Property | None]:
        """Read properties of a dataset or snapshot: native ones and the user's.

        In the order asked for; None for what it has not (``zfs get`` prints ``-``). ``mounted`` is
        a fact of this process's mount namespace. An enumeration is in the words of the module:
        ``xattr`` of the same dataset is ``sa`` in 2.1, ``on`` in 2.3. ENOENT: no such dataset.
        """

    def children(self, dataset: str) -> list[Row]:
        """List the filesystems directly below ``dataset``, by name, with snapshots and clones.

        One channel program for each 2,000 of them. Each is seen at one moment; with more than
        2,000, not all at the same. ENOENT: no such dataset.
        """

    def facts_of(self, dataset: str) -> Facts:
        """Find out what keeps a dataset: children, snapshots, their clones and holds."""

    def pool_features(self, pool: str) -> PoolFeatures:
        """Find out what a pool can do. Starts a process (``zpool get``) by both ways."""


class Zfs(Datasets, Snapshots, Removal, Streams, Reading, Protocol):
    """All that layerfs asks of ZFS. ``name`` is the way that was chosen."""

    name: str


def open_zfs(prefer: str | None = None) -> Zfs:
    """Choose a way to ZFS: ``libzfs_core`` or ``command``.

    What is preferred here or in the environment (LAYERFS_ZFS) is what is used, or an error. With no
    preference it is libzfs_core where it can be loaded. UnsupportedError: there is no ZFS here.
    """
    wanted = prefer or os.environ.get(_VARIABLE) or None
    if wanted not in {None, *_WAYS}:
        raise ValidationError(f"no way to zfs is called {wanted!r}: {' or '.join(_WAYS)}")
    failures = []
    for way in _WAYS if wanted is None else [wanted]:
        try:
            return _opened(way)
        except OSError as error:
            failures.append(f"{way}: {error.filename}: {error.strerror}")
    raise UnsupportedError(f"no ZFS here ({'; '.join(failures)}); {_REMEDY}")


def _opened(way: str | None) -> Zfs:
    if way == "command":
        from layerfs.zfs.command import Command  # noqa: PLC0415 - one of the two is needed

        return Command.open()
    from layerfs.zfs.core import Core  # noqa: PLC0415

    return Core.open()
