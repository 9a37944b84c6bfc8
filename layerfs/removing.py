"""Remove layers and images. Nothing goes that something holds.

A removal writes down what it is going to remove (durably), forgets it in one commit, renames its
files into its own trash, and deletes that without the lock. From the commit on the layer is absent;
if the process dies, or a file cannot be renamed, recovery does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from layerfs.blobstore import REFERENCE_NAME
from layerfs.errors import LayerFSError, LayerInUseError
from layerfs.opening import Parts
from layerfs.records import Image
from layerfs.roots import ImageRow
from layerfs.staging import Operation
from layerfs.viewstate import drop_stale


def remove(parts: Parts, digest: str) -> bool:
    """Remove a layer that nothing holds; False when it is not here.

    LayerInUseError names the holder. StorageError: it is gone from the store, but its files could
    not be deleted yet; the next ``open`` tries again.
    """
    parts.refuse_readonly()
    if not parts.meta.has_layer(digest):
        return False
    with parts.staging.operation() as operation:
        with parts.lock():
            layer = parts.meta.layer(digest)
            if layer is None:
                return False
            drop_stale(parts, parts.meta.mounts(digest=digest))
            if (held := _holder(parts, digest)) is not None:
                holder, remedy = held
                raise LayerInUseError(
                    f"layer {digest} is in use by {holder}; {remedy} first",
                    digest=digest,
                    holder=holder,
                )
            release(parts, digest, layer.diff_id)
            errors = forget(parts, operation, [(digest, layer.diff_id)])
        if errors:
            raise errors[digest]
    return True


def _holder(parts: Parts, digest: str) -> tuple[str, str] | None:
    """Return who holds a layer, and what to do about it."""
    meta = parts.meta
    if mounts := meta.mounts(digest=digest):
        return f"mount {mounts[0].target!r}", "unmount it"
    operations = dict(meta.roots.operation_leases())
    for lease in meta.roots.leases_of(digest):
        return f"lease {lease!r}", "wait for it" if lease in operations else "release it"
    for manifest in meta.roots.images_of(digest):
        return f"image {manifest}", "untag it"
    for dependent in meta.dependents(digest):
        if dependent != digest:
            return f"layer {dependent}", "it depends on this one, remove it"
    return None


def release(parts: Parts, digest: str, diff_id: str) -> None:
    """Let go of what was made of a layer, if that is the layer's alone; raises as the backend."""
    if parts.meta.layers_of(diff_id) == (digest,):
        parts.backend.release(diff_id)


def forget(
    parts: Parts, operation: Operation, layers: Sequence[tuple[str, str]]
) -> dict[str, LayerFSError]:
    """Remove layers, given as (digest, diffID); the caller holds the lock and has the right to.

    Returns the errors of those whose files are still there, by digest: they are forgotten all the
    same, and the operation is left to recovery. Raises, with nothing removed, when the intent or
    the commit cannot be written.
    """
    operation.intend("remove", durable=True, layers=[list(layer) for layer in layers])
    with parts.meta.transaction():
        for digest, _ in layers:
            parts.meta.delete_layer(digest)
    errors: dict[str, LayerFSError] = {}
    for digest, diff_id in layers:
        try:
            discard_unused(parts, operation, digest, diff_id)
        except LayerFSError as error:
            errors[digest] = error
            operation.leave_to_recovery()
    return errors


def discard_unused(parts: Parts, operation: Operation, digest: str, diff_id: str | None) -> None:
    """Rename a blob and a tree into the operation's trash, unless a record needs them."""
    if not parts.meta.roots.uses_blob(digest):
        parts.blobs.discard(digest, operation.trash)
    if diff_id is not None and not parts.meta.layers_of(diff_id):
        parts.backend.discard(diff_id, operation.trash)


# --- images -------------------------------------------------------------------------------------


def images(parts: Parts) -> list[Image]:
    """Return the images, one entry for each name, at least one for each."""
    found = []
    for row in parts.meta.roots.images():
        found += [as_image(parts, row, name) for name in row.references or (None,)]
    return found


def as_image(parts: Parts, row: ImageRow, reference: str | None) -> Image:
    """Return an image under one of its names."""
    known = parts.meta.diff_ids(row.digests)
    diff_ids = tuple(known[digest] for digest in row.digests if digest in known)
    return Image(row.manifest, row.digests, diff_ids, reference)


def remove_image(parts: Parts, image: str) -> bool:
    """Forget a name of an image, or, with its last name or by its digest, the image."""
    parts.refuse_readonly()
    roots = parts.meta.roots
    with parts.staging.operation() as operation, parts.lock():
        row = roots.image(image)
        if row is None:
            return False
        gone = image == row.manifest or len(row.references) <= 1
        operation.intend("image", durable=True, manifest=row.manifest, config=row.config)
        with parts.meta.transaction():
            if gone:
                roots.delete_image(row.manifest)
            else:
                roots.delete_name(image)
        write_index(parts)
        if gone:
            discard_unused(parts, operation, row.manifest, None)
            discard_unused(parts, operation, row.config, None)
    return True


def write_index(parts: Parts) -> bool:
    """Make index.json say what the database says; False if it did. The caller holds the lock."""
    descriptors = index_of(parts)
    if parts.blobs.index_is(descriptors):
        return False
    parts.blobs.write_index(descriptors)
    return True


def index_of(parts: Parts) -> list[dict[str, object]]:
    """Return the descriptors of the images, one for each name, as index.json holds them."""
    return [
        {
            "mediaType": row.media_type,
            "digest": row.manifest,
            "size": row.size,
            **({"annotations": {REFERENCE_NAME: name}} if name else {}),
        }
        for row in parts.meta.roots.images()
        for name in row.references or ("",)
    ]
