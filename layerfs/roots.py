"""What keeps layers in the store: leases and images; their queries. Nothing here decides.

Methods that write must run within a transaction of the database.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from layerfs.metastore import Database

_IMAGE: Final = "SELECT manifest, media_type, size, config FROM images"


class ImageRow(NamedTuple):
    """An image as recorded; ``digests`` base first; ``references`` sorted."""

    manifest: str
    media_type: str
    size: int
    config: str
    digests: tuple[str, ...]
    references: tuple[str, ...]


class Roots:
    """The tables of leases and images of one store."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # --- who keeps a layer ------------------------------------------------------------------

    def leases_of(self, digest: str) -> tuple[str, ...]:
        """Return the names of the leases that keep ``digest``."""
        rows = self.database.rows(
            "SELECT lease FROM lease_layers WHERE digest = ? ORDER BY lease", (digest,)
        )
        return tuple(row[0] for row in rows)

    def images_of(self, digest: str) -> tuple[str, ...]:
        """Return the manifests of the images that have the layer."""
        rows = self.database.rows(
            "SELECT DISTINCT manifest FROM image_layers WHERE digest = ? ORDER BY manifest",
            (digest,),
        )
        return tuple(row[0] for row in rows)

    def layers_of_images(self) -> set[str]:
        """Return the digests of all layers of all images."""
        return {row[0] for row in self.database.rows("SELECT digest FROM image_layers")}

    def leased(self, *, operations_only: bool = False) -> set[str]:
        """Return the digests that leases keep; or only those of operations in flight."""
        sql = "SELECT digest FROM lease_layers"
        if operations_only:
            sql += " JOIN leases ON name = lease WHERE operation IS NOT NULL"
        return {row[0] for row in self.database.rows(sql)}

    # --- leases -----------------------------------------------------------------------------

    def put_lease(self, name: str, digests: Iterable[str], *, operation: str | None = None) -> None:
        """Make a lease, or add layers to it."""
        self.database.write("INSERT OR IGNORE INTO leases VALUES (?, ?)", (name, operation))
        self.database.write_many(
            "INSERT OR IGNORE INTO lease_layers VALUES (?, ?)",
            ((name, digest) for digest in digests),
        )

    def delete_lease(self, name: str) -> None:
        """Forget a lease; none is fine."""
        self.database.write("DELETE FROM leases WHERE name = ?", (name,))

    def delete_user_lease(self, name: str) -> None:
        """Forget a lease, unless it is that of an operation; none is fine."""
        self.database.write("DELETE FROM leases WHERE name = ? AND operation IS NULL", (name,))

    def operation_leases(self) -> list[tuple[str, str]]:
        """Return (name, operation) of the leases of operations."""
        return self.database.rows(
            "SELECT name, operation FROM leases WHERE operation IS NOT NULL ORDER BY name"
        )

    # --- images -----------------------------------------------------------------------------

    def put_image(self, image: ImageRow) -> None:
        """Record an image (again), and give it its names, which others lose."""
        write = self.database.write
        write(
            "INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?)",
            (image.manifest, image.media_type, image.size, image.config),
        )
        self.database.write_many(
            "INSERT OR IGNORE INTO image_layers VALUES (?, ?, ?)",
            ((image.manifest, at, digest) for at, digest in enumerate(image.digests)),
        )
        self.database.write_many(
            "INSERT OR REPLACE INTO image_names VALUES (?, ?)",
            ((name, image.manifest) for name in image.references),
        )

    def image(self, name: str) -> ImageRow | None:
        """Return an image by its manifest's digest or by one of its names, or None."""
        named = "(SELECT manifest FROM image_names WHERE reference = ?)"
        row = self.database.row(f"{_IMAGE} WHERE manifest IN (?, {named})", (name, name))
        return None if row is None else self._image(row)

    def images(self) -> list[ImageRow]:
        """Return all images, by manifest digest."""
        return [self._image(row) for row in self.database.rows(f"{_IMAGE} ORDER BY manifest")]

    def _image(self, row: tuple[Any, ...]) -> ImageRow:
        rows = self.database.rows
        layers = rows(
            "SELECT digest FROM image_layers WHERE manifest = ? ORDER BY position", (row[0],)
        )
        names = rows(
            "SELECT reference FROM image_names WHERE manifest = ? ORDER BY reference", (row[0],)
        )
        manifest, media_type, size, config = row
        return ImageRow(
            manifest,
            media_type,
            size,
            config,
            tuple(one[0] for one in layers),
            tuple(one[0] for one in names),
        )

    def delete_name(self, reference: str) -> int:
        """Forget a name of an image; return how many there were."""
        return self.database.write("DELETE FROM image_names WHERE reference = ?", (reference,))

    def delete_image(self, manifest: str) -> None:
        """Forget an image and its names."""
        self.database.write("DELETE FROM images WHERE manifest = ?", (manifest,))

    def uses_blob(self, digest: str) -> bool:
        """Say whether an image has this manifest or configuration, or a layer this blob."""
        return (
            self.database.row(
                "SELECT 1 FROM images WHERE manifest = ? UNION ALL"
                " SELECT 1 FROM images WHERE config = ? UNION ALL"
                " SELECT 1 FROM layers WHERE digest = ?",
                (digest, digest, digest),
            )
            is not None
        )
