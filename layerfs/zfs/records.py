"""What ZFS tells, as small frozen records. Nothing here does anything.

Named tuples rather than dataclasses: those import ``inspect``, which a process that only mounts
would wait for.
"""

from __future__ import annotations

from typing import NamedTuple


class Property(NamedTuple):
    """A property's value as ``zfs get -Hp`` prints it, and where it comes from.

    ``source``: ``local``, ``default``, ``inherited from NAME``, ``received``, ``temporary`` (a
    mount option), or ``-`` for what only ZFS sets.
    """

    value: str
    source: str


class SnapshotRow(NamedTuple):
    """A snapshot in a listing: ``name`` is full, ``userrefs`` the number of holds."""

    name: str
    guid: int
    userrefs: int
    clones: tuple[str, ...]


class Row(NamedTuple):
    """A filesystem in a listing. ``origin`` is a full snapshot name; None when it is no clone.

    ``properties``: those of the user whose names begin with ``layerfs:``, inherited ones as well.
    """

    name: str
    guid: int
    origin: str | None
    properties: dict[str, Property]
    snapshots: tuple[SnapshotRow, ...]


class SnapshotFacts(NamedTuple):
    """A snapshot and who keeps it: ``holds`` is tag to time (seconds since the epoch)."""

    name: str
    guid: int
    clones: tuple[str, ...]
    holds: dict[str, int]


class Facts(NamedTuple):
    """All that can keep one dataset from being destroyed, but for mounts; oldest snapshot first.

    ``children`` are the direct ones, of all types.
    """

    name: str
    guid: int
    origin: str | None
    children: tuple[str, ...]
    snapshots: tuple[SnapshotFacts, ...]


class Obstacle(NamedTuple):
    """Why ``name``, one of the datasets that were to be removed, stays.

    ``what`` is one of: ``snapshot NAME``, ``child NAME``, ``clone NAME``, ``bookmark NAME``,
    ``hold TAG on SNAPSHOT``, ``NAME is busy (mounted, or being sent or received)``.
    """

    name: str
    what: str


class PoolFeatures(NamedTuple):
    """What a pool can do. ``version`` is the kernel module's, such as ``2.3.9-0+deb13u1``.

    ``enabled`` holds the names of the pool's features that are enabled or active, without
    ``feature@`` (zpool-features(7)). ``block_cloning``: enabled, and not switched off in the
    module.
    """

    version: str
    enabled: frozenset[str]
    block_cloning: bool
    channel_programs: bool
