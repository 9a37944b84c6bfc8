"""Compare the datasets of a store with its records, both ways, and mend what does not agree.

For stores on ZFS. The pool's own user properties say what each dataset is, so that records that
were lost are found again; only what says so itself is ever taken for ours. Kinds of problems:

    missing-dataset      a chain is recorded, and its zfs snapshot is not there, or another one
    orphan-dataset       a chain that is not recorded
    left-dataset         what an operation or a view has left
    promoted-dataset     the zfs snapshot of a chain went to a clone that somebody promoted
    property-drift       a dataset has other properties than layers need
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from layerfs.backends.zfs import ZfsBackend, holder_of
from layerfs.backends.zfschains import DIFF_ID, PARENT, PROPERTIES, SNAPSHOT
from layerfs.backends.zfsviews import VIEW
from layerfs.chains import Chain
from layerfs.errors import LayerInUseError, ZFSDatasetDestroyFailedError
from layerfs.opening import Parts
from layerfs.zfs import Row, ZfsFailure, refusal

#: OpenZFS 2.1 and 2.3 name the same state in two ways, see ``Zfs.properties``.
_SAME: Final = {("xattr", "on"): "sa", ("acltype", "posixacl"): "posix"}
_CHAIN: Final = re.compile(r"[0-9a-f]{64}|[0-9a-f]{128}")
_OPERATION: Final = re.compile(r"(build|view)-([0-9a-f]+)")
_ALGORITHMS: Final = {64: "sha256", 128: "sha512"}


class Finding(NamedTuple):
    """One problem, and what mends it: that returns a sentence, and raises LayerFSError."""

    kind: str
    message: str
    dataset: str
    mend: Callable[[], str | None]


def findings(parts: Parts) -> list[Finding]:
    """Return everything that does not agree; nothing for a store without ZFS."""
    backend = parts.backend
    if not isinstance(backend, ZfsBackend):
        return []
    try:
        rows = {row.name: row for row in backend.zfs.children(backend.dataset)}
        return [
            *_missing(parts, backend, rows),
            *_orphans(parts, backend, rows),
            *_drifted(backend, rows),
        ]
    except ZfsFailure as error:
        raise refusal(error) from error


def _guid(row: Row | None) -> str:
    """Return that of a chain's zfs snapshot; empty when there is none."""
    if row is None:
        return ""
    wanted = f"{row.name}@{SNAPSHOT}"
    return next((str(one.guid) for one in row.snapshots if one.name == wanted), "")


def _said(row: Row, name: str) -> str | None:
    """Return what a dataset itself says, not what it has inherited."""
    found = row.properties.get(name)
    return None if found is None or found.source != "local" else found.value


def _missing(parts: Parts, backend: ZfsBackend, rows: dict[str, Row]) -> Iterator[Finding]:
    for chain in parts.meta.chains.all():
        name = backend.trees.place(chain.chain_id)
        row = rows.get(name)
        if _guid(row) == chain.guid:
            continue
        if row is not None and not _guid(row) and _said(row, DIFF_ID) and row.origin:
            message = f"the zfs snapshot of {name} went to {row.origin}, which was promoted"
            yield Finding("promoted-dataset", message, name, _promotion(backend, name))
            continue
        what = "is missing" if row is None else "is another than was made"
        message = f"the zfs snapshot {name}@{SNAPSHOT} {what}"
        yield Finding("missing-dataset", message, name, _forgetting(parts, chain, name))


def _promotion(backend: ZfsBackend, name: str) -> Callable[[], str]:
    def mend() -> str:
        try:
            backend.zfs.promote(name)
        except ZfsFailure as error:
            raise refusal(error) from error
        return f"promoted {name}, which has its zfs snapshot again"

    return mend


def _forgetting(parts: Parts, chain: Chain, name: str) -> Callable[[], str]:
    def mend() -> str:
        with parts.meta.chains.transaction():
            parts.meta.chains.forget([chain.chain_id])
        return f"forgot the chain of {name}; it is made again when it is asked for"

    return mend


def _orphans(parts: Parts, backend: ZfsBackend, rows: dict[str, Row]) -> Iterator[Finding]:
    recorded = {backend.trees.place(chain.chain_id) for chain in parts.meta.chains.all()}
    for name, row in _lower_first(rows):
        last = name.rpartition("/")[2]
        if _CHAIN.fullmatch(last):
            diff_id = _said(row, DIFF_ID)
            if diff_id is not None and name not in recorded:
                yield Finding(
                    "orphan-dataset",
                    f"the dataset {name} is not recorded",
                    name,
                    _adoption(parts, backend, rows, row, diff_id),
                )
        elif operation := _OPERATION.fullmatch(last):
            ours = VIEW if operation[1] == "view" else DIFF_ID
            identity = operation[2]
            if _said(row, ours) is None or parts.staging.alive(identity):
                continue
            if operation[1] == "view" and parts.meta.mount(identity) is not None:
                continue
            yield Finding(
                "left-dataset",
                f"the dataset {name} belongs to no {_OWNERS[operation[1]]}",
                name,
                _discarding(backend, name),
            )


_OWNERS: Final = {"view": "view", "build": "living operation"}


def _lower_first(rows: dict[str, Row]) -> list[tuple[str, Row]]:
    """Return the datasets, each after the one that it was cloned from."""
    found: dict[str, Row] = {}
    for first in rows:
        way = [first]
        while (origin := rows[way[-1]].origin) is not None:
            below = origin.partition("@")[0]
            if below not in rows or below in way:
                break
            way.append(below)
        found.update((name, rows[name]) for name in reversed(way) if name not in found)
    return list(found.items())


def _with_clones(rows: dict[str, Row], name: str) -> list[str]:
    """Return a dataset and all chains that were cloned from it, and from those."""
    found, waiting = [name], [name]
    while waiting:
        below = f"{waiting.pop()}@{SNAPSHOT}"
        for other, row in rows.items():
            if row.origin == below and _said(row, DIFF_ID) is not None and other not in found:
                found.append(other)
                waiting.append(other)
    return found


def _adoption(
    parts: Parts, backend: ZfsBackend, rows: dict[str, Row], row: Row, diff_id: str
) -> Callable[[], str | None]:
    def mend() -> str | None:
        if not backend.zfs.exists(row.name):
            return None  # went with the one that it was cloned from
        last = row.name.rpartition("/")[2]
        chain_id = f"{_ALGORITHMS[len(last)]}:{last}"
        parent = _said(row, PARENT) or ""
        with parts.lock():
            below = not parent or parent in parts.meta.chains.known([parent])
            if _guid(row) and below and parts.meta.layers_of(diff_id):
                with parts.meta.chains.transaction():
                    parts.meta.chains.put(Chain(chain_id, diff_id, parent, _guid(row)))
                return f"recorded the dataset {row.name} again"
            return _removed(backend, row.name, _with_clones(rows, row.name))

    return mend


def _removed(backend: ZfsBackend, name: str, doomed: list[str]) -> str:
    try:
        in_the_way = backend.zfs.remove(doomed, snapshot=SNAPSHOT)
    except ZfsFailure as error:
        raise refusal(error) from error
    for one in in_the_way:
        raise ZFSDatasetDestroyFailedError(
            f"the dataset {name} has no layer, and {one.what} keeps it", holder=holder_of(one)
        )
    return f"destroyed the dataset {name}, which has no layer"


def _discarding(backend: ZfsBackend, name: str) -> Callable[[], str]:
    def mend() -> str:
        backend.trees.discard(name)
        return f"destroyed the dataset {name}, which was left behind"

    return mend


def _drifted(backend: ZfsBackend, rows: dict[str, Row]) -> Iterator[Finding]:
    for name, row in rows.items():
        if _said(row, DIFF_ID) is None and _said(row, VIEW) is None:
            continue
        found = backend.zfs.properties(name, PROPERTIES)
        for key, wanted in PROPERTIES.items():
            value = "" if (one := found[key]) is None else one.value
            if _SAME.get((key, value), value) != wanted:
                yield Finding(
                    "property-drift",
                    f"the dataset {name} has {key}={value}, and layers need {key}={wanted}",
                    name,
                    _unsettable(name, key, wanted),
                )


def _unsettable(name: str, key: str, wanted: str) -> Callable[[], str]:
    def mend() -> str:
        raise LayerInUseError(
            f"the dataset {name} was changed by somebody: `zfs set {key}={wanted} {name}` undoes it"
        )

    return mend
