"""What both ways to ZFS have in common: names are validated, and channel programs run and read.

A way to ZFS supplies what begins with an underscore, and gets names and properties that are valid.
All failures are `ZfsFailure`, or ValidationError before anything is asked of ZFS.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from layerfs.errors import ValidationError
from layerfs.zfs import answers, names, programs
from layerfs.zfs.failure import ZfsFailure
from layerfs.zfs.mounted import is_mounted
from layerfs.zfs.properties import (
    Setting,
    readable,
    settings,
    unmounted,
    user_name,
    user_settings,
)
from layerfs.zfs.records import Facts, Obstacle, PoolFeatures, Property, Row

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Operations(ABC):
    """The operations of `layerfs.zfs.Zfs`, whose descriptions hold here."""

    name: str

    def create(self, dataset: str, properties: Mapping[str, str] = _NONE) -> None:
        """Make a filesystem."""
        chosen = settings(unmounted(properties))
        try:
            self._create(names.inner(dataset), chosen)
        except ZfsFailure as failure:
            raise self._concerning(failure, names.parent_of(dataset)) from failure

    def clone(self, snapshot: str, dataset: str, properties: Mapping[str, str] = _NONE) -> None:
        """Make a filesystem out of a snapshot."""
        chosen = settings(unmounted(properties))
        names.inner(dataset)
        try:
            self._clone(names.snapshot(snapshot), dataset, chosen)
        except ZfsFailure as failure:
            missing = (snapshot, names.parent_of(dataset))
            raise self._concerning(failure, *missing) from failure

    def rename(self, dataset: str, to: str) -> None:
        """Give a filesystem another name, or another parent."""
        if names.inner(dataset) == names.inner(to):
            raise ValidationError(f"zfs dataset {dataset!r} cannot be renamed to what it is")
        try:
            self._rename(dataset, to)
        except ZfsFailure as failure:
            raise self._concerning(failure, dataset, names.parent_of(to)) from failure

    def promote(self, dataset: str) -> None:
        """Make a clone the owner of the snapshots that it shares with its origin."""
        self._promote(names.inner(dataset))

    def destroy(self, dataset: str) -> None:
        """Destroy a filesystem without children and snapshots."""
        self._destroy(names.inner(dataset))

    def snapshot(self, snapshots: Sequence[str], properties: Mapping[str, str] = _NONE) -> None:
        """Take snapshots at the same moment, all or none."""
        if not snapshots:
            return
        chosen = user_settings(properties)
        names.one_pool([names.snapshot(name) for name in snapshots])
        datasets = [names.parent_of(name) for name in snapshots]
        if len(set(datasets)) < len(datasets):
            raise ValidationError("one zfs operation takes one snapshot of a dataset, not several")
        self._snapshot(list(snapshots), chosen)

    def destroy_snapshots(self, snapshots: Sequence[str], *, defer: bool = False) -> None:
        """Destroy snapshots, all or none."""
        if snapshots:
            pool = names.one_pool([names.snapshot(name) for name in snapshots])
            arguments = ["defer" if defer else "now", *snapshots]
            self._change(
                pool, programs.DESTROY_SNAPSHOTS, arguments, "destroy snapshots", snapshots[0]
            )

    def hold(self, snapshot: str, tag: str) -> None:
        """Keep a snapshot from being destroyed."""
        self._hold(names.snapshot(snapshot), names.tag(tag))

    def release(self, snapshot: str, tag: str) -> None:
        """Take back a hold."""
        self._release(names.snapshot(snapshot), names.tag(tag))

    def remove(self, datasets: Sequence[str], *, snapshot: str) -> list[Obstacle]:
        """Destroy datasets with their one snapshot, all or none."""
        if not datasets:
            return []
        pool = names.one_pool([names.inner(name) for name in datasets])
        arguments = [names.component(snapshot), *datasets]
        answer = self._change(pool, programs.REMOVE, arguments, "remove", datasets[0])
        return answers.obstacles(answer)

    def send(self, snapshot: str, fd: int, from_: str | None = None) -> None:
        """Write a stream of a snapshot."""
        begin = None if from_ is None else names.snapshot(from_)
        try:
            self._send(names.snapshot(snapshot), fd, begin)
        except ZfsFailure as failure:
            needed = [name for name in (snapshot, begin) if name is not None]
            raise self._concerning(failure, *needed) from failure

    def receive(
        self,
        snapshot: str,
        fd: int,
        properties: Mapping[str, str] = _NONE,
        origin: str | None = None,
    ) -> None:
        """Make a snapshot, and its filesystem, from a stream."""
        chosen = settings(unmounted(properties))
        dataset = names.inner(names.parent_of(names.snapshot(snapshot)))
        begin = None if origin is None else names.snapshot(origin)
        try:
            self._receive(snapshot, fd, chosen, begin)
        except ZfsFailure as failure:
            needed = [name for name in (begin, names.parent_of(dataset)) if name is not None]
            raise self._concerning(failure, *needed) from failure

    def set_user_properties(self, name: str, properties: Mapping[str, str | None]) -> None:
        """Set user properties, or take them away, all or none."""
        if not properties:
            return
        user_settings({key: value for key, value in properties.items() if value is not None})
        arguments = [names.any_name(name)]
        for key, value in properties.items():
            arguments += ["-", user_name(key)] if value is None else ["=", key, value]
        self._change(names.pool_of(name), programs.SET, arguments, "set", name)

    def exists(self, name: str) -> bool:
        """Say whether there is a dataset or snapshot of this name."""
        return self._exists(names.any_name(name))

    def properties(self, name: str, properties: Iterable[str]) -> dict[str, Property | None]:
        """Read properties of a dataset or snapshot."""
        wanted = readable(properties)
        asked = [one for one in wanted if one != "mounted"]
        arguments = [names.any_name(name), *asked]
        answer = self._read(names.pool_of(name), programs.PROPERTIES, arguments, "get", name)
        found = answers.properties(answer, name, asked)
        if "mounted" in wanted and "@" not in name:
            # The kernel tells it to no program: it is a fact of this mount namespace.
            found["mounted"] = Property("yes" if is_mounted(name) else "no", "-")
        return {one: found.get(one) for one in wanted}

    def children(self, dataset: str) -> list[Row]:
        """List the filesystems directly below a dataset."""
        names.dataset(dataset)
        parts = 1
        while parts <= programs.MOST_PAGES:
            rows: list[Row] = []
            for part in range(parts):
                answer = self._children(dataset, parts, part)
                count = answers.too_many(answer)
                if count is not None:
                    parts = max(parts * 2, -(-count // (programs.PAGE_ROWS // 2)))
                    break
                rows += answers.children(answer, dataset)
            else:
                return sorted(rows, key=lambda row: row.name)
        text = f"more than {programs.MOST_PAGES} pages of {programs.PAGE_ROWS} are too many"
        raise ZfsFailure(errno.EOVERFLOW, operation="list", name=dataset, text=text)

    def facts_of(self, dataset: str) -> Facts:
        """Find out what keeps a dataset."""
        pool = names.pool_of(names.dataset(dataset))
        return answers.facts(self._read(pool, programs.FACTS, [dataset], "list", dataset))

    def pool_features(self, pool: str) -> PoolFeatures:
        """Find out what a pool can do."""
        from layerfs.zfs import pools  # noqa: PLC0415 - asked once for each store

        programmed = self._read(names.pool(pool), "return 'yes'", [], "program", pool) == "yes"
        return pools.features(pool, channel_programs=programmed)

    def _children(self, dataset: str, parts: int, part: int) -> str:
        page = (parts, part, programs.PAGE_ROWS, programs.PAGE_BYTES)
        arguments = [dataset, *map(str, page)]
        pool = names.pool_of(dataset)
        return self._read(pool, programs.CHILDREN, arguments, "list", dataset)

    def _read(
        self, pool: str, program: str, arguments: list[str], operation: str, name: str
    ) -> str:
        return self._answer(pool, program, arguments, operation, name, changes=False)

    def _change(
        self, pool: str, program: str, arguments: list[str], operation: str, name: str
    ) -> str:
        return self._answer(pool, program, arguments, operation, name, changes=True)

    def _answer(
        self,
        pool: str,
        program: str,
        arguments: list[str],
        operation: str,
        name: str,
        *,
        changes: bool,
    ) -> str:
        try:
            answer = self._run(pool, program, arguments, changes=changes)
        except ZfsFailure as failure:
            raise ZfsFailure(
                failure.errno, operation=operation, name=name, text=failure.text
            ) from failure
        refusal = answers.refusal(answer)
        if refusal is not None:
            raise ZfsFailure(refusal[0], operation=operation, name=refusal[1])
        return answer

    def _concerning(self, failure: ZfsFailure, *needed: str) -> ZfsFailure:
        """Return the failure; if something is missing, of the name in ``needed`` that is."""
        if failure.errno != errno.ENOENT:
            return failure
        missing = [name for name in needed if not self._exists(name)]
        return ZfsFailure(
            failure.errno,
            operation=failure.operation,
            name=missing[0] if missing else failure.name,
            text="" if missing else failure.text,
        )

    @abstractmethod
    def _create(self, dataset: str, properties: Mapping[str, Setting]) -> None: ...

    @abstractmethod
    def _clone(self, snapshot: str, dataset: str, properties: Mapping[str, Setting]) -> None: ...

    @abstractmethod
    def _rename(self, dataset: str, to: str) -> None: ...

    @abstractmethod
    def _promote(self, dataset: str) -> None: ...

    @abstractmethod
    def _destroy(self, dataset: str) -> None: ...

    @abstractmethod
    def _snapshot(self, snapshots: list[str], properties: dict[str, str]) -> None: ...

    @abstractmethod
    def _hold(self, snapshot: str, tag: str) -> None: ...

    @abstractmethod
    def _release(self, snapshot: str, tag: str) -> None: ...

    @abstractmethod
    def _send(self, snapshot: str, fd: int, from_: str | None) -> None: ...

    @abstractmethod
    def _receive(
        self, snapshot: str, fd: int, properties: Mapping[str, Setting], origin: str | None
    ) -> None: ...

    @abstractmethod
    def _exists(self, name: str) -> bool: ...

    @abstractmethod
    def _run(self, pool: str, program: str, arguments: list[str], *, changes: bool) -> str:
        """Run a channel program, and return its answer.

        A failure of the program itself is a ZfsFailure: ETIME and ENOMEM (a limit), ECHRNG (a fault
        of Lua), or what the pool says.
        """
