"""What a store knows: queries on layers and mounts (``roots`` has the rest, ``schema`` the tables).

Nothing here decides: whether a layer may be removed is the store's business. Every query that an
operation on one layer makes goes through an index, so that its cost does not grow with the number
of layers. Methods that write must run within ``transaction()``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, NamedTuple

from layerfs.chains import Chains
from layerfs.errors import MetadataError
from layerfs.metastore import Database
from layerfs.records import Layer
from layerfs.roots import Roots
from layerfs.schema import SCHEMA_VERSION, have_schema

#: Digests asked for by one statement: SQLite takes 999 values, the older ones (before 3.32).
_ASKED: Final = 500
_DIFF_ID: Final = "SELECT digest, diff_id FROM layers"
_NEEDS: Final = "SELECT digest, needs FROM dependencies"
_LAYER: Final = "SELECT digest, diff_id, size, media_type, annotations FROM layers"
_MOUNT: Final = "SELECT id, target, writable, created_target, boot, namespace, digests FROM mounts"


class MountRow(NamedTuple):
    """A view as recorded. Whether it is still mounted, only the kernel knows."""

    id: str
    target: str
    digests: tuple[str, ...]
    writable: bool
    created_target: bool
    boot: str
    namespace: int


class Catalog:
    """The tables of one store."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.roots = Roots(database)
        self.chains = Chains(database)

    @classmethod
    def open(cls, path: Path, *, readonly: bool = False) -> Catalog:
        """Open the metadata of a store; a missing or empty file becomes an empty one.

        Whoever creates must hold the store's lock. MetadataError: damaged, of another program, or
        of a newer layerfs. PermissionDeniedError, WriteFailedError, StorageError: the disk.
        """
        database = Database.open_readonly(path) if readonly else Database.open(path)
        try:
            have_schema(database)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def transaction(self, *, durable: bool = True) -> AbstractContextManager[None]:
        """As ``Database.transaction``. Not re-entrant."""
        return self.database.transaction(durable=durable)

    def close(self) -> None:
        """Close the connection."""
        self.database.close()

    # --- settings ---------------------------------------------------------------------------

    def setting(self, name: str) -> Any:
        """Return a recorded setting (JSON's own types), or None."""
        row = self.database.row("SELECT value FROM settings WHERE name = ?", (name,))
        return None if row is None else json.loads(row[0])

    def set_setting(self, name: str, value: Any) -> None:
        """Record a setting."""
        text = json.dumps(value, sort_keys=True)
        self.database.write("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, text))

    # --- layers -----------------------------------------------------------------------------

    def layer(self, digest: str) -> Layer | None:
        """Return one layer, or None."""
        row = self.database.row(f"{_LAYER} WHERE digest = ?", (digest,))
        if row is None:
            return None
        return _layer(row, self.needs(digest))

    def layers_of_digests(self, digests: Sequence[str]) -> dict[str, Layer]:
        """Return those of the layers that there are, by digest."""
        needs: dict[str, list[str]] = {}
        found: dict[str, Layer] = {}
        for first in range(0, len(digests), _ASKED):
            some = digests[first : first + _ASKED]
            within = _within(some)
            for digest, need in self.database.rows(
                f"{_NEEDS} {within} ORDER BY digest, position", some
            ):
                needs.setdefault(digest, []).append(need)
            for row in self.database.rows(f"{_LAYER} {within}", some):
                found[row[0]] = _layer(row, needs.get(row[0], ()))
        return found

    def diff_ids(self, digests: Sequence[str]) -> dict[str, str]:
        """Return the diffIDs of those of the layers that there are, by digest."""
        found: dict[str, str] = {}
        for first in range(0, len(digests), _ASKED):
            some = digests[first : first + _ASKED]
            found.update(self.database.rows(f"{_DIFF_ID} {_within(some)}", some))
        return found

    def has_layer(self, digest: str) -> bool:
        """Say whether there is such a layer."""
        return self.database.row("SELECT 1 FROM layers WHERE digest = ?", (digest,)) is not None

    def layers(self) -> list[Layer]:
        """Return all layers, in the order in which they were added."""
        needs: dict[str, list[str]] = {}
        for digest, need in self.edges():
            needs.setdefault(digest, []).append(need)
        rows = self.database.rows(f"{_LAYER} ORDER BY seq")
        return [_layer(row, needs.get(row[0], ())) for row in rows]

    def layers_of(self, diff_id: str) -> tuple[str, ...]:
        """Return the digests of all layers that share the tree of ``diff_id``."""
        rows = self.database.rows(
            "SELECT digest FROM layers WHERE diff_id = ? ORDER BY seq", (diff_id,)
        )
        return tuple(row[0] for row in rows)

    def digests(self) -> list[str]:
        """Return all digests, in the order in which the layers were added."""
        return [row[0] for row in self.database.rows("SELECT digest FROM layers ORDER BY seq")]

    def digests_beginning(self, text: str) -> list[str]:
        """Return the digests that begin with ``text``, sorted."""
        # Digests are ASCII: nothing that begins so comes after the last of its characters.
        rows = self.database.rows(
            "SELECT digest FROM layers WHERE digest >= ? AND digest < ? ORDER BY digest",
            (text, f"{text}\x7f"),
        )
        return [row[0] for row in rows]

    def put_layer(self, layer: Layer, *, blob_bytes: int) -> None:
        """Record a layer; for a known digest, add the dependencies and annotations that are new."""
        known = self.layer(layer.digest)
        annotations = dict(layer.annotations)
        if known is None:
            self.database.write(
                "INSERT INTO layers (digest, diff_id, media_type, size, blob_bytes, annotations)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    layer.digest, layer.diff_id, layer.media_type, layer.size, blob_bytes,
                    _text(annotations),
                ),
            )  # fmt: skip
        elif not annotations.items() <= dict(known.annotations).items():
            self.database.write(
                "UPDATE layers SET annotations = ? WHERE digest = ?",
                (_text({**known.annotations, **annotations}), layer.digest),
            )
        old = () if known is None else known.dependencies
        new = [need for need in dict.fromkeys(layer.dependencies) if need not in old]
        self.database.write_many(
            "INSERT INTO dependencies VALUES (?, ?, ?)",
            ((layer.digest, len(old) + at, need) for at, need in enumerate(new)),
        )

    def delete_layer(self, digest: str) -> None:
        """Forget a layer and its own dependencies; forget its tree if no other layer has it."""
        row = self.database.row("SELECT diff_id FROM layers WHERE digest = ?", (digest,))
        if row is None:
            return
        self.database.write("DELETE FROM layers WHERE digest = ?", (digest,))
        if not self.layers_of(row[0]):
            self.database.write("DELETE FROM trees WHERE diff_id = ?", (row[0],))

    def put_tree(self, diff_id: str, size: int) -> None:
        """Record the bytes on disk of a tree."""
        self.database.write("INSERT OR REPLACE INTO trees VALUES (?, ?)", (diff_id, size))

    def bytes_of(self, digest: str) -> tuple[int, int]:
        """Return the bytes on disk of a layer's blob and of its tree."""
        row = self.database.row(
            "SELECT blob_bytes, bytes FROM layers LEFT JOIN trees USING (diff_id) WHERE digest = ?",
            (digest,),
        )
        return (0, 0) if row is None else (int(row[0]), int(row[1] or 0))

    def bytes_total(self) -> int:
        """Return the bytes on disk of all blobs (images' too) and trees."""
        number = self.database.number
        return (
            number("SELECT sum(blob_bytes) FROM layers")
            + number("SELECT sum(bytes) FROM trees")
            + number("SELECT sum(size) FROM images")
        )

    # --- dependencies and holders -----------------------------------------------------------

    def edges(self) -> list[tuple[str, str]]:
        """Return (layer, what it needs) of all layers, in the order declared."""
        return self.database.rows("SELECT digest, needs FROM dependencies ORDER BY 1, position")

    def needs(self, digest: str) -> tuple[str, ...]:
        """Return what a layer declares to need, in the order declared."""
        rows = self.database.rows(
            "SELECT needs FROM dependencies WHERE digest = ? ORDER BY position", (digest,)
        )
        return tuple(row[0] for row in rows)

    def dependents(self, digest: str) -> tuple[str, ...]:
        """Return the layers that declare a dependency on ``digest``."""
        rows = self.database.rows(
            "SELECT digest FROM dependencies WHERE needs = ? ORDER BY digest", (digest,)
        )
        return tuple(row[0] for row in rows)

    def count_layers(self) -> int:
        """Return how many layers there are."""
        return self.database.number("SELECT count(*) FROM layers")

    def count_referenced(self) -> int:
        """Return how many layers an image, a lease or another layer refers to."""
        return self.database.number("SELECT count(*) FROM layers WHERE digest IN referenced")

    def is_referenced(self, digest: str) -> bool:
        """Say whether an image, a lease or another layer refers to ``digest``."""
        row = self.database.row("SELECT 1 FROM referenced WHERE digest = ?", (digest,))
        return row is not None

    # --- mounts -----------------------------------------------------------------------------

    def mounts(self, *, target: str | None = None, digest: str | None = None) -> list[MountRow]:
        """Return the recorded views: all, those at a target, or those that show a layer."""
        rows = self.database.rows
        if target is not None:
            found = rows(f"{_MOUNT} WHERE target = ?", (os.fsencode(target),))
        elif digest is not None:
            # No digest is a part of another: each algorithm has a length of its own.
            found = rows(f"{_MOUNT} WHERE instr(digests, ?)", (digest,))
        else:
            found = rows(f"{_MOUNT} ORDER BY id")
        return [_mount(row) for row in found]

    def mounts_of_other_boots(self, boot: str) -> list[MountRow]:
        """Return the recorded views that a reboot has ended."""
        rows = self.database.rows(f"{_MOUNT} WHERE boot <> ?", (boot,))
        return [_mount(row) for row in rows]

    def mount(self, identity: str) -> MountRow | None:
        """Return one view by its id, or None."""
        row = self.database.row(f"{_MOUNT} WHERE id = ?", (identity,))
        return None if row is None else _mount(row)

    def put_mount(self, mount: MountRow) -> None:
        """Record a view."""
        self.database.write(
            "INSERT INTO mounts VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                mount.id, os.fsencode(mount.target), mount.writable, mount.created_target,
                mount.boot, mount.namespace, " ".join(mount.digests),
            ),
        )  # fmt: skip

    def delete_mount(self, identity: str) -> None:
        """Forget a view."""
        self.database.write("DELETE FROM mounts WHERE id = ?", (identity,))


def is_newer(path: Path) -> bool:
    """Say whether the file at ``path`` is whole, and of a newer layerfs."""
    try:
        database = Database.open(path)
    except MetadataError:
        return False
    try:
        return database.number("PRAGMA user_version") > SCHEMA_VERSION
    except MetadataError:
        return False
    finally:
        database.close()


def _text(annotations: Mapping[str, str]) -> str:
    return json.dumps(annotations, sort_keys=True, ensure_ascii=True)


def _within(digests: Sequence[str]) -> str:
    return f"WHERE digest IN ({','.join('?' * len(digests))})"


def _mount(row: Sequence[Any]) -> MountRow:
    identity, target, writable, created_target, boot, namespace, digests = row
    return MountRow(
        id=identity,
        target=os.fsdecode(target),
        digests=tuple(digests.split()),
        writable=bool(writable),
        created_target=bool(created_target),
        boot=boot,
        namespace=namespace,
    )


def _layer(row: Sequence[Any], needs: Iterable[str]) -> Layer:
    digest, diff_id, size, media_type, annotations = row
    return Layer(
        digest,
        diff_id,
        size,
        media_type,
        tuple(needs),
        # Most have none, and a stack asks for hundreds.
        {} if annotations == "{}" else json.loads(annotations),
    )
