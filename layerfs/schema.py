"""The tables of a store's metadata, and the version of their layout.

Mount targets are BLOBs: a path of the host is bytes, and need not be UTF-8.
"""

from __future__ import annotations

from typing import Final

from layerfs.errors import MetadataError
from layerfs.metastore import APPLICATION_ID, Database

SCHEMA_VERSION: Final = 3

_SCHEMA: Final = (
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE layers (
        seq INTEGER PRIMARY KEY,  -- the order in which layers were added
        digest TEXT NOT NULL UNIQUE,
        diff_id TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL,
        blob_bytes INTEGER NOT NULL,  -- on disk
        annotations TEXT NOT NULL  -- JSON object of strings
    )""",
    "CREATE INDEX layers_by_diff_id ON layers (diff_id)",
    # One tree serves every layer of its diffID.
    "CREATE TABLE trees (diff_id TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE dependencies (
        digest TEXT NOT NULL REFERENCES layers (digest) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        needs TEXT NOT NULL,  -- may name a layer that is not here (yet)
        PRIMARY KEY (digest, position)
    ) WITHOUT ROWID""",
    "CREATE INDEX dependencies_by_needs ON dependencies (needs)",
    """CREATE TABLE mounts (
        id TEXT PRIMARY KEY,  -- that of the operation that made it, and of run/<id>
        target BLOB NOT NULL,
        writable INTEGER NOT NULL,
        created_target INTEGER NOT NULL,  -- we made the directory, and remove it again
        boot TEXT NOT NULL,  -- /proc/sys/kernel/random/boot_id
        namespace INTEGER NOT NULL,  -- inode of /proc/self/ns/mnt
        -- Base first, a space between two. Not a table: 500 rows would take as long as the mount,
        -- and to look through all views for a digest, before a removal, takes microseconds each.
        digests TEXT NOT NULL
    )""",
    "CREATE INDEX mounts_by_target ON mounts (target)",
    # A lease of an operation in flight (an import between its layers) is not the user's to break.
    "CREATE TABLE leases (name TEXT PRIMARY KEY, operation TEXT) WITHOUT ROWID",
    "CREATE INDEX leases_of_operations ON leases (operation) WHERE operation IS NOT NULL",
    """CREATE TABLE lease_layers (
        lease TEXT NOT NULL REFERENCES leases (name) ON DELETE CASCADE,
        digest TEXT NOT NULL,
        PRIMARY KEY (lease, digest)
    ) WITHOUT ROWID""",
    "CREATE INDEX lease_layers_by_digest ON lease_layers (digest)",
    """CREATE TABLE images (
        manifest TEXT PRIMARY KEY,
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL,
        config TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX images_by_config ON images (config)",
    """CREATE TABLE image_layers (
        manifest TEXT NOT NULL REFERENCES images (manifest) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (manifest, position)
    ) WITHOUT ROWID""",
    "CREATE INDEX image_layers_by_digest ON image_layers (digest)",
    """CREATE TABLE image_names (
        reference TEXT PRIMARY KEY,
        manifest TEXT NOT NULL REFERENCES images (manifest) ON DELETE CASCADE
    ) WITHOUT ROWID""",
    "CREATE INDEX image_names_by_manifest ON image_names (manifest)",
    # On ZFS: the datasets of stacks. "parent" is the chain of all layers but the topmost, or "".
    """CREATE TABLE chains (
        chain_id TEXT PRIMARY KEY,
        diff_id TEXT NOT NULL,
        parent TEXT NOT NULL,
        guid TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX chains_by_diff_id ON chains (diff_id)",
    "CREATE INDEX chains_by_parent ON chains (parent)",
    """CREATE VIEW referenced AS
        SELECT digest FROM image_layers UNION SELECT digest FROM lease_layers
        UNION SELECT needs FROM dependencies""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


def have_schema(database: Database) -> None:
    """Make the tables in an empty file; MetadataError: the file is of another version, or owner."""
    version = database.number("PRAGMA user_version")
    path = database.path
    if version == 0 and not database.readonly:
        with database.transaction():
            # Again, now that no other process can be creating it.
            version = database.number("PRAGMA user_version")
            if version == 0:
                if database.rows("SELECT 1 FROM sqlite_master LIMIT 1"):
                    raise MetadataError(
                        f"metadata {str(path)!r} is not layerfs's: it has no schema version",
                        path=path,
                    )
                database.run_script(_SCHEMA)
                version = SCHEMA_VERSION
    if version != SCHEMA_VERSION:
        newer = "a newer" if version > SCHEMA_VERSION else "an unknown"
        raise MetadataError(
            f"metadata {str(path)!r} has schema version {version}, of {newer} layerfs; this one "
            f"knows version {SCHEMA_VERSION}: use that layerfs",
            path=path,
        )
