"""Which dataset a store keeps its layers in, said on both sides: in the store, and in the pool.

The file ``zfs`` in the store's directory names the dataset, and what the store is called there; the
dataset has that name in its user property ``layerfs:store``. So a store without its database knows
where its layers are, a dataset says whose it is, and two stores never share one.

The file is written first. A dataset that is missing is made, also later: what was in it can be made
again from the blobs.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from layerfs.blobstore import sync_directory
from layerfs.errors import (
    MetadataError,
    PermissionDeniedError,
    StorageError,
    ValidationError,
    ZFSDatasetCreateFailedError,
    from_os_error,
)
from layerfs.mountinfo import in_init_userns

if TYPE_CHECKING:
    from layerfs.zfs import Property, Zfs

NAME: Final = "zfs"
STORE: Final = "layerfs:store"


class Note(NamedTuple):
    """What the file says: the dataset, and the store's name there, which no other store has."""

    dataset: str
    store: str


def noted(root: Path) -> Note | None:
    """Return what the store's file says; None: its layers are in directories. MetadataError."""
    path = root / NAME
    try:
        found = json.loads(path.read_bytes())
        return Note(str(found["dataset"]), str(found["store"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error(error, "reading", os.fspath(path)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise MetadataError(
            f'{os.fspath(path)!r} is damaged; it must be {{"dataset": …, "store": …}}, and '
            f"`zfs get -r {STORE}` tells both",
            path=path,
        ) from error


def refuse_change(root: Path, asked: str, note: Note | None) -> None:
    """Raise ValidationError where a store that is there keeps its layers somewhere else."""
    if note is not None and note.dataset != asked:
        raise ValidationError(
            f"store {os.fspath(root)!r} is on dataset {note.dataset!r}, not on {asked!r}"
        )
    if note is None:
        raise ValidationError(
            f"store {os.fspath(root)!r} keeps its layers in directories, and cannot be put on "
            f"dataset {asked!r}: make another store, and import what is exported from this one"
        )


def expect(dataset: str, zfs: Zfs) -> None:
    """Raise what would keep a new store from ``dataset``, before anything of it is made.

    ValidationError (no name of a dataset below a pool), and what ``claim`` raises.
    """
    from layerfs.backends.zfschains import refuse_long  # noqa: PLC0415 - with a dataset only
    from layerfs.zfs import ZfsFailure, names, refusal  # noqa: PLC0415

    names.inner(dataset)
    _refuse_others()
    refuse_long(f"{dataset}/{'0' * 64}")
    for name in (dataset, names.parent_of(dataset)):
        try:
            found = zfs.properties(name, [STORE, "type"])
        except ZfsFailure as error:
            if error.errno != errno.ENOENT or name != dataset:
                raise refusal(error) from error
            continue
        kind = found["type"]
        if kind is None or kind.value != "filesystem":
            wrong = StorageError if name == dataset else ZFSDatasetCreateFailedError
            raise wrong(f"{name!r} is no file system, but a volume: choose another dataset")
        if name == dataset:
            _refuse_taken(dataset, found[STORE])
            _refuse_full(dataset, zfs)
            return


def _refuse_others() -> None:
    if os.geteuid() != 0 or not in_init_userns():
        raise PermissionDeniedError(
            "ZFS wants the host's root; run as root, outside of user namespaces"
        )


def _refuse_taken(dataset: str, found: Property | None) -> None:
    if found is not None and found.source == "local":
        raise StorageError(
            f"dataset {dataset!r} is of another layerfs store, {found.value}: choose another one"
        )


def _refuse_full(dataset: str, zfs: Zfs) -> None:
    """Raise StorageError for a dataset with another below it, or a snapshot; files may stay."""
    facts = zfs.facts_of(dataset)
    there = [*facts.children, *(one.name for one in facts.snapshots)]
    if there:
        raise StorageError(
            f"dataset {dataset!r} is not empty (it has {there[0]!r}): choose another one",
            holder=there[0],
        )


def choose(root: Path, dataset: str) -> Note:
    """Write down that the store is to be on ``dataset``; nothing is made of that yet.

    Raises WriteFailedError.
    """
    note = Note(dataset, os.urandom(16).hex())
    path, fresh = root / NAME, root / f"{NAME}.new"
    try:
        with fresh.open("wb") as file:
            file.write(json.dumps(note._asdict()).encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        sync_directory(root)
    except OSError as error:
        raise from_os_error(error, "writing", os.fspath(path)) from error
    return note


def claim(note: Note, zfs: Zfs, *, readonly: bool) -> None:
    """Make sure that the dataset is there, and this store's; it is made when it is missing.

    PermissionDeniedError: not the host's root. ZFSDatasetNotFoundError: its parent is not there, or
    (``readonly``) it itself. StorageError: it is another store's; nothing was changed.
    """
    from layerfs.backends.zfschains import PROPERTIES  # noqa: PLC0415 - they import each other's half
    from layerfs.zfs import ZfsFailure, refusal  # noqa: PLC0415

    _refuse_others()
    try:
        found = zfs.properties(note.dataset, [STORE])[STORE]
    except ZfsFailure as error:
        if error.errno != errno.ENOENT or readonly:
            raise refusal(error) from error
        _make(note, zfs, {**PROPERTIES, "canmount": "off", STORE: note.store})
        return
    if found is not None and found.value == note.store:
        return
    _refuse_taken(note.dataset, found)
    if readonly:
        raise StorageError(
            f"dataset {note.dataset!r} has no property {STORE}: open it writable once"
        )
    try:
        zfs.set_user_properties(note.dataset, {STORE: note.store})
    except ZfsFailure as error:
        raise refusal(error) from error


def _make(note: Note, zfs: Zfs, properties: dict[str, str]) -> None:
    from layerfs.zfs import ZfsFailure, refusal  # noqa: PLC0415 - with a dataset only

    try:
        zfs.create(note.dataset, properties)
    except ZfsFailure as error:
        # Another process of this store may have been first.
        if error.errno != errno.EEXIST:
            raise refusal(error) from error
        claimed = zfs.properties(note.dataset, [STORE])[STORE]
        if claimed is None or claimed.value != note.store:
            raise refusal(error) from error
