"""LayerFS: a store of OCI layers, and every operation on it. A facade: the work is elsewhere.

Layout of a store, ``root/``, which is itself a valid OCI image layout
(https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md):

    oci-layout, index.json     the images of the store, for skopeo, umoci and the like
    blobs/<algorithm>/<hex>    layers as they were added, manifests, configs
    layers/<hex>/diff/         the tree of the diffID sha256:<hex> (overlay backend)
    layers/<hex>/marks         what the tree cannot say, e.g. which directories it only implies
    layerfs.db (-wal, -shm)    SQLite: what there is, what keeps what, what is mounted
    staging/<operation>/       work in progress: ``lock`` (flock, held by a living operation),
                               ``intent.json`` (how to undo it), content, trash
    run/<mount id>/            upperdir, workdir and the like of each view
    lock                       flock around the short steps that change what others may see
    reserve                    space that is given up so that a full disk can be emptied

How content becomes durable, and why in this order (``adding`` does it):

 1. blob, tree and intent are written into ``staging/<operation>/``;
 2. ``syncfs``: one call makes all of them durable, whatever their number. Before anything is
    visible, since a name must never lead to content that a power cut can still take away;
 3. under ``lock``: renames to ``blobs/`` and ``layers/``, each followed by an fsync of the
    directory that holds the name: the database must never name a file that a power cut unnames;
 4. one SQLite commit (WAL, synchronous=FULL: one fsync). From here on the layer exists;
 5. the staging directory goes. It is not synced: if it comes back, recovery removes it again.

A crash before 4 leaves files that no row names; the intent, durable since 2, tells the next
``open`` which, and it removes them. A removal goes the other way round: intent (fsync), commit
that forgets the layer, renames into trash, deletion; a crash in between is finished by ``open``.

One LayerFS object belongs to one thread. Any number of objects and processes may share a store.

Many a process opens a store for one operation: what only some need is imported by their methods.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self, TypeVar

from layerfs import digest as digests_
from layerfs import recovery, reserve, views
from layerfs.errors import LayerNotFoundError, UnsupportedError
from layerfs.opening import Parts

if TYPE_CHECKING:
    from layerfs.backends import Sink
    from layerfs.limits import Limits
    from layerfs.records import Image, Layer, Mount
    from layerfs.reports import Damage, GarbageReport, Problem, RepairReport, Stats
    from layerfs.zfs import PoolFeatures

_LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"

#: Called now and then with (bytes of the blob read so far, bytes in all or None if unknown).
Progress = Callable[[int, int | None], None]


_T = TypeVar("_T")


class LayerFS:
    """A store, open. Use as a context manager, or call ``close``.

    All methods that change something raise ReadOnlyFilesystemError on a store opened readonly,
    WriteFailedError when the disk is full, and leave the store and the host as they were when
    they raise, unless they say otherwise. Digests that are not well-formed are ValidationErrors.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._mounted: dict[str, None] = {}  # targets of views made by this object, in order
        self._closed = False

    @classmethod
    def open(
        cls,
        root: str | os.PathLike[str],
        zfs: str | None = None,
        *,
        readonly: bool = False,
        recover: bool = False,
        limits: Limits | None = None,
    ) -> Self:
        """Open the store at ``root``; create it when it is missing or an empty directory.

        What dead operations left behind is undone first, and views of an earlier boot forgotten.
        ``zfs`` names the dataset, ``pool/name``, below which a new store keeps its layers; it is
        made when it is missing. Later it need not be given. ``readonly`` changes nothing at all,
        and refuses later changes. ``recover`` opens even a store whose database is damaged: it is
        set aside as ``layerfs.db.damaged``, and ``repair`` fills the new one from the blobs, trees
        and index.json. ``limits`` bound what a layer may ask for when it is added, made, verified
        or repaired; they are not kept in the store.

        PathError (a file, missing parent), StorageError (a directory that is not a store),
        ReadOnlyFilesystemError and PermissionDeniedError (cannot be written: use readonly),
        MetadataError (damaged, or from a newer layerfs), InvalidOverlayError (the file system
        cannot hold layers). With ``zfs``: ValidationError (no name of a dataset, or the store is
        somewhere else), ZFSDatasetNotFoundError (its pool, or parent, is not there), StorageError
        (it is another store's, or not empty), UnsupportedError (no ZFS here).
        """
        path = Path(root)

        def attempt() -> Parts:
            return recovery.open_recovered(path, readonly=readonly, recover=recover, zfs=zfs)

        parts = attempt() if readonly else reserve.spending(path, attempt)
        return cls(parts._replace(limits=limits))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self, *, unmount: bool = True) -> None:
        """Unmount the views that this object made (unless told not to), and let go of the store.

        UnmountFailedError: a view is busy; the others are unmounted, the object stays open, and
        ``close`` can be called again.
        """
        if self._closed:
            return
        if unmount and self._mounted:
            views.unmount_all(self._parts, tuple(self._mounted), self._forget)
        if not self.readonly:
            reserve.keep(self.root)
        self._parts.close()
        self._closed = True

    def close_all_views(self) -> None:
        """Unmount every view of the store in this mount namespace, whoever made it.

        UnmountFailedError names the first busy one, after the others have been unmounted.
        """
        targets = tuple(mount.target for mount in views.mounts(self._parts))
        views.unmount_all(self._parts, targets, self._forget)

    def _freeing(self, step: Callable[[], _T]) -> _T:
        """Run an operation that frees space, at the cost of the reserve if there is none left."""
        return step() if self.readonly else reserve.spending(self.root, step)

    def _forget(self, target: str) -> None:
        self._mounted.pop(target, None)

    # --- what is here -----------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The store's directory, absolute, symlinks resolved."""
        return self._parts.root

    @property
    def readonly(self) -> bool:
        """Whether every change is refused."""
        return self._parts.readonly

    @property
    def has_zfs(self) -> bool:
        """Whether layers lie on ZFS datasets."""
        return self.zfs_dataset is not None

    @property
    def zfs_pool(self) -> str | None:
        """The pool of ``zfs_dataset``; None without ZFS."""
        return None if self.zfs_dataset is None else self.zfs_dataset.partition("/")[0]

    @property
    def zfs_dataset(self) -> str | None:
        """The dataset below which layers lie; None without ZFS."""
        return self._parts.backend.dataset

    def zfs_features(self) -> PoolFeatures | None:
        """Ask what the pool of ``zfs_dataset`` can do; None without ZFS. Raises ZFSError."""
        if self.zfs_pool is None:
            return None
        from layerfs.zfs import ZfsFailure, open_zfs, refusal

        try:
            return open_zfs().pool_features(self.zfs_pool)
        except ZfsFailure as error:
            raise refusal(error) from error

    # --- layers -----------------------------------------------------------------------------

    def add_layer(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        media_type: str = _LAYER_TAR,
        *,
        digest: str | None = None,
        size: int | None = None,
        diff_id: str | None = None,
        dependencies: Iterable[str] = (),
        annotations: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Layer:
        """Add a layer's blob, from a file or a binary stream that is read once, to its end.

        What is given of ``digest``, ``size`` and ``diff_id`` is verified. Adding a layer that is
        here already succeeds, and adds the dependencies and annotations that are new; several
        processes may do it at once. Dependencies need not exist yet.

        DigestMismatchError (takes precedence over damage in what does not match anyway),
        DecompressionError, ValidationError (a damaged tar), HostileLayerError,
        InvalidLayerPathError, LimitExceededError, PathError (no such file).
        """
        from layerfs import adding
        from layerfs.reading import Expected

        wanted = Expected(media_type, digest, size, diff_id)
        extra = adding.Extra(tuple(dependencies), dict(annotations or {}), progress)
        return adding.add(self._parts, source, wanted, extra)

    def get_layer(self, digest: str) -> Layer:
        """Return one layer. LayerNotFoundError."""
        digest = digests_.parse(digest)
        layer = self._parts.meta.layer(digest)
        if layer is None:
            raise LayerNotFoundError(f"no layer {digest} in {str(self.root)!r}", digest=digest)
        return layer

    def layers(self) -> list[Layer]:
        """Return all layers, in the order in which they were added."""
        return self._parts.meta.layers()

    def digests_beginning(self, text: str) -> list[str]:
        """Return the digests of the layers whose digest begins with ``text``, sorted."""
        return self._parts.meta.digests_beginning(text)

    def remove_layer(self, digest: str) -> bool:
        """Remove a layer; False when it is not here (any more).

        LayerInUseError: mounted, leased, of an image, or a dependency of another layer.
        """
        from layerfs import removing

        digest = digests_.parse(digest)
        return self._freeing(lambda: removing.remove(self._parts, digest))

    # --- order ------------------------------------------------------------------------------

    def order(self, digests: Sequence[str] | None = None) -> list[str]:
        """Return the digests (None: all), dependencies first, otherwise as they were given.

        InvalidLayerOrderError: a dependency is not in the store. CircularDependencyError.
        """
        from layerfs import ordering

        return ordering.order_layers(self._parts.meta, digests)

    def check_cycles(self) -> None:
        """Raise CircularDependencyError if layers depend on each other in a circle."""
        from layerfs import ordering

        ordering.refuse_cycles(self._parts.meta)

    # --- integrity --------------------------------------------------------------------------

    def verify(self, digests: Sequence[str] | None = None) -> list[Damage]:
        """Read blobs and trees (None: of all layers) and name what is not as it was added."""
        from layerfs import verifying

        return verifying.verify(self._parts, digests)

    def check(self) -> list[Problem]:
        """Compare metadata with disk and mounts, both ways; contents are for ``verify``."""
        from layerfs import check

        return check.check(self._parts)

    def repair(self, digests: Sequence[str] | None = None) -> RepairReport:
        """Mend what ``verify`` finds in these layers; with None, in all, and what ``check`` finds.

        Only damaged trees are extracted again. Goes on past what cannot be mended, and says so.
        """
        from layerfs import repair

        return repair.repair(self._parts, digests)

    def stats(self) -> Stats:
        """Count layers and bytes."""
        from layerfs import counting

        return counting.stats(self._parts)

    # --- views ------------------------------------------------------------------------------

    def stack(
        self,
        digests: Sequence[str],
        target: str | os.PathLike[str],
        *,
        writable: bool = False,
        namespace: str | None = None,
    ) -> Mount:
        """Mount the layers, base first, as one tree on ``target``.

        ``target`` is an empty directory, or does not exist in an existing one (then it is created,
        and removed again by ``unmount``). LayerNotFoundError, ValidationError (no layers),
        LimitExceededError, InvalidMountPointError, InvalidOverlayError, MountFailedError,
        UnsupportedError (``namespace``).
        """
        if namespace is not None:
            raise UnsupportedError("named mount namespaces are not offered by this version")
        mount = views.stack(self._parts, digests, target, writable=writable)
        self._mounted[mount.target] = None
        return mount

    def mount_layer(self, digest: str, target: str | os.PathLike[str]) -> Mount:
        """Mount one layer on ``target``, read-only; as ``stack``."""
        return self.stack([digest], target)

    def unmount(self, target: str | os.PathLike[str]) -> None:
        """End the view at ``target``; what was written to it is discarded.

        Succeeds when the mount has gone already. InvalidMountPointError: not a view of this store.
        UnmountFailedError: busy, ``holder`` names who; nothing was removed, a retry may succeed.
        """
        self._forget(self._freeing(lambda: views.unmount(self._parts, target)))

    def unmount_layer(self, target: str | os.PathLike[str]) -> None:
        """End a view made by ``mount_layer``; as ``unmount``."""
        self.unmount(target)

    def mounts(self) -> list[Mount]:
        """Return the views of this store that are mounted now."""
        return views.mounts(self._parts)

    def commit(self, target: str | os.PathLike[str], *, progress: Progress | None = None) -> Layer:
        """Make a layer of what was changed in the writable view at ``target``, which goes on.

        InvalidMountPointError: not a view. ReadOnlyFilesystemError: the view is read-only.
        """
        return views.commit(self._parts, target, progress)

    def merge(self, digests: Sequence[str], *, progress: Progress | None = None) -> Layer:
        """Make one layer whose effect is that of the given ones, base first; they stay."""
        return views.merge(self._parts, digests, progress)

    # --- life cycle -------------------------------------------------------------------------

    def lease(self, name: str, digests: Sequence[str]) -> None:
        """Keep layers from garbage collection under ``name``; more may be added to it later."""
        from layerfs import holding

        holding.lease(self._parts, name, digests)

    def release(self, name: str) -> None:
        """Give a lease up; an unknown name is fine."""
        from layerfs import holding

        self._freeing(lambda: holding.release(self._parts, name))

    def collect_garbage(self, *, dry_run: bool = False, force: bool = False) -> GarbageReport:
        """Remove the layers that no image, lease, view, or kept layer needs.

        ``force`` ignores leases. Goes on past a bad item, and reports it.
        """
        from layerfs import garbage

        return self._freeing(lambda: garbage.collect(self._parts, dry_run=dry_run, force=force))

    # --- images -----------------------------------------------------------------------------

    def images(self) -> list[Image]:
        """Return the images, one entry for each of their names (at least one)."""
        from layerfs import removing

        return removing.images(self._parts)

    def remove_image(self, image: str) -> bool:
        """Forget an image, by manifest digest or name; its layers stay until garbage collection.

        A name is removed alone when the image has others. False when it is not here.
        """
        from layerfs import removing

        return self._freeing(lambda: removing.remove_image(self._parts, image))

    def import_image(
        self,
        path: str | os.PathLike[str],
        reference: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> Image:
        """Import an image from an OCI image layout, which is verified as it is read.

        ``reference`` names one of several (``org.opencontainers.image.ref.name``, or a digest).
        """
        from layerfs import image

        return image.import_layout(self._parts, Path(path), reference, progress)

    def export_image(
        self,
        path: str | os.PathLike[str],
        digests: Sequence[str] | None = None,
        image: str | None = None,
        reference: str = "latest",
        *,
        progress: Progress | None = None,
    ) -> str:
        """Write an OCI image layout to ``path`` (missing, or empty); return the manifest's digest.

        Either layers, base first, or an image by manifest digest or name; with both, the image's
        configuration with these layers. LayerNotFoundError, ValidationError, PathError.
        """
        from layerfs import export

        return export.export_layout(
            self._parts, Path(path), digests, image, reference, progress=progress
        )

    # --- replication ------------------------------------------------------------------------

    def send(
        self,
        digests: Sequence[str],
        sink: str | os.PathLike[str] | Sink,
        *,
        since: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> None:
        """Write a stack for another store on ZFS: its layers, and its chain of clones.

        ``sink`` is a path at which nothing is yet, or takes bytes in order; what it raises is
        passed on. ``since`` is the beginning of ``digests``, layers that the receiver has: nothing
        of them is written. UnsupportedError (a store without ZFS), LayerNotFoundError,
        ValidationError, PathError, WriteFailedError, ZFSError; then no file is left.
        """
        from layerfs import replication

        replication.send(self._parts, digests, sink, since, progress)

    def receive(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        *,
        blobs_only: bool = False,
        progress: Progress | None = None,
    ) -> list[Layer]:
        """Receive a stack that ``send`` wrote, from a file or a binary stream that is read once.

        Returns all its layers, base first. They are verified as by ``add_layer``; datasets that
        are here already stay as they are. The trees in streams of ZFS are taken on the sender's
        word: with ``blobs_only`` they are passed over, and unpacked here.

        UnsupportedError (a store without ZFS), LayerNotFoundError (one that was not sent is not
        here), ValidationError (no such file, cut short, or of another version),
        DigestMismatchError (damaged), and what ``add_layer`` raises.
        """
        from layerfs import replication

        return replication.receive(self._parts, source, progress, blobs_only=blobs_only)
