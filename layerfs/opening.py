"""Open a store's directory: create it, or make sure that it is one; and hold its parts.

Imports only what every operation needs: no tar engine, no compression, no pydantic.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from layerfs import dataset, reserve
from layerfs.backends import Backend, Features, probing
from layerfs.backends.overlay import OverlayBackend
from layerfs.blobstore import BlobStore, sync_directory
from layerfs.catalog import Catalog, is_newer
from layerfs.digest import ALGORITHMS
from layerfs.errors import (
    InvalidOverlayError,
    LayerFSError,
    MetadataError,
    PathError,
    PermissionDeniedError,
    ReadOnlyFilesystemError,
    StorageError,
    from_os_error,
)
from layerfs.staging import Staging, exclusive

if TYPE_CHECKING:
    from layerfs.limits import Limits

DATABASE: Final = "layerfs.db"
_LOCK: Final = "lock"
_DIRECTORIES: Final = ("staging", "run", "layers", "blobs")
_DATABASE_FILES: Final = (DATABASE, DATABASE + "-wal", DATABASE + "-shm")
#: All that a store's directory holds; with anything else in it, it is not ours to fill.
_OURS: Final = frozenset(
    {
        _LOCK,
        reserve.NAME,
        dataset.NAME,
        f"{dataset.NAME}.new",
        "oci-layout",
        "index.json",
        "oci-layout.new",
        "index.json.new",
        "lost+found",
        ".zfs",
    }
    | {*_DIRECTORIES, *_DATABASE_FILES}
)


class Parts(NamedTuple):
    """What the operations of a store work with."""

    root: Path
    meta: Catalog
    blobs: BlobStore
    staging: Staging
    backend: Backend
    readonly: bool
    limits: Limits | None = None  #: of what is read; None stands for the defaults

    @property
    def run(self) -> Path:
        """The directory of the views' own directories."""
        return self.root / "run"

    def lock(self) -> AbstractContextManager[None]:
        """Hold the store's lock, for the short steps that change what others see."""
        return exclusive(self.root / _LOCK)

    def quiet(self) -> AbstractContextManager[None]:
        """Hold the store's lock for a comparison of files with records; readonly, do without."""
        return nullcontext() if self.readonly else self.lock()

    def refuse_readonly(self) -> None:
        """Raise ReadOnlyFilesystemError if the store was opened readonly."""
        if self.readonly:
            raise ReadOnlyFilesystemError(
                f"store {str(self.root)!r} was opened readonly; open it without readonly to "
                "change it",
                path=self.root,
            )

    def close(self) -> None:
        """Let go of the database."""
        self.meta.close()


def open_parts(root: Path, *, readonly: bool, recover: bool, zfs: str | None = None) -> Parts:
    """Open or create the store at ``root``; see ``LayerFS.open`` for what is refused."""
    root = Path(os.path.realpath(root))
    _refuse_foreign(root, readonly=readonly)
    database = root / DATABASE
    note = dataset.noted(root)
    is_new = note is None and not database.exists()
    if zfs is not None and is_new:
        from layerfs.zfs import open_zfs  # noqa: PLC0415 - with a dataset only

        dataset.expect(zfs, open_zfs())
    elif zfs is not None:
        dataset.refuse_change(root, zfs, note)
    blobs = BlobStore(root)
    if readonly:
        meta = Catalog.open(database, readonly=True)
        return _assembled(root, meta, blobs, readonly=True)
    features = None
    if is_new and zfs is None:
        with _taken_back(root):
            _require_writable(root)
            features = OverlayBackend(root).probe()
    else:
        _require_writable(root)
    # A directory may be missing also in a store that is old enough: by an incomplete copy.
    if not all((root / name).exists() for name in (*_DIRECTORIES, DATABASE)):
        _create(root, blobs, zfs if is_new else None)
    try:
        meta = Catalog.open(database)
    except MetadataError:
        if not recover or is_newer(database):
            raise
        meta = _set_aside(root, database)
    return _assembled(root, meta, blobs, readonly=False, found=features)


def _assembled(
    root: Path, meta: Catalog, blobs: BlobStore, *, readonly: bool, found: Features | None = None
) -> Parts:
    try:
        backend = _backend(root, meta, readonly=readonly, found=found)
    except BaseException:
        meta.close()
        raise
    staging = Staging(root / "staging", meta.database.write_back_index)
    return Parts(root, meta, blobs, staging, backend, readonly)


def _refuse_foreign(root: Path, *, readonly: bool) -> None:
    """Refuse what is not a store and must not become one."""
    try:
        kind = os.stat(root).st_mode
    except FileNotFoundError:
        if readonly:
            raise PathError(f"no store at {str(root)!r}", path=root, errno=errno.ENOENT) from None
        return
    except OSError as error:
        raise from_os_error(error, "opening store", str(root)) from error
    if not stat.S_ISDIR(kind):
        raise PathError(f"store {str(root)!r} is not a directory", path=root, errno=errno.ENOTDIR)
    if (root / DATABASE).exists():
        return
    try:
        names = set(os.listdir(root))
    except OSError as error:
        raise from_os_error(error, "opening store", str(root)) from error
    if foreign := sorted(name for name in names - _OURS if not name.startswith(DATABASE)):
        raise StorageError(
            f"{str(root)!r} is not a layerfs store, and not empty (it holds {foreign[0]!r}); "
            "choose an empty directory",
            path=root,
        )
    if "oci-layout" in names and _LOCK not in names:
        raise StorageError(
            f"{str(root)!r} is an OCI image layout, not a layerfs store; open a store elsewhere, "
            "and import from it",
            path=root,
        )
    if readonly:
        # Raises: the database is missing. An empty directory is no store either.
        raise StorageError(f"{str(root)!r} is not a layerfs store: it has no {DATABASE}", path=root)


@contextmanager
def _taken_back(root: Path) -> Iterator[None]:
    """Remove what was made for a new store, if the block finds that it cannot be one here."""
    made = [one for one in (root, *root.parents) if not one.exists()]
    ours = [root / name for name in (_LOCK, "staging") if not (root / name).exists()]
    try:
        yield
    except LayerFSError:
        with suppress(OSError):  # what somebody else uses meanwhile stays
            for path in ours:
                if path.is_dir():
                    path.rmdir()
                else:
                    path.unlink(missing_ok=True)
            for path in made:
                path.rmdir()
        raise


def _require_writable(root: Path) -> None:
    """Make ``root`` if need be, and find out whether it can be written, by doing it."""
    lock = root / _LOCK
    try:
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        os.close(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno == errno.EROFS:
            raise ReadOnlyFilesystemError(
                f"store {str(root)!r} is on a read-only file system; open it readonly, or remount "
                "it",
                path=root,
                errno=error.errno,
            ) from error
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise PermissionDeniedError(
                f"store {str(root)!r} cannot be written by user {os.geteuid()}; open it readonly, "
                "or as its owner",
                path=root,
                errno=error.errno,
            ) from error
        raise from_os_error(error, "opening store", str(root)) from error


def _create(root: Path, blobs: BlobStore, zfs: str | None) -> None:
    """Make all that is missing of a store, the database last: with it, the store is complete."""
    with exclusive(root / _LOCK):
        if zfs is not None:
            note = dataset.noted(root)  # another process may have been first
            if note is None:
                dataset.choose(root, zfs)
            else:
                dataset.refuse_change(root, zfs, note)
        make_directories(root)
        blobs.create()
        try:
            sync_directory(root)
            sync_directory(root.parent)
        except OSError as error:
            raise from_os_error(error, "creating store", str(root)) from error
        Catalog.open(root / DATABASE).close()


def make_directories(root: Path) -> None:
    """Make the store's directories that are missing."""
    try:
        for name in (*_DIRECTORIES, *(f"blobs/{one}" for one in ALGORITHMS)):
            (root / name).mkdir(mode=0o755, exist_ok=True)
        for private in ("staging", "run", "layers"):
            # Setuid programs of layers must not be within other users' reach.
            os.chmod(root / private, 0o700)
    except OSError as error:
        raise from_os_error(error, "creating store", str(root)) from error


def _set_aside(root: Path, database: Path) -> Catalog:
    """Rename a damaged database, and begin an empty one."""
    with exclusive(root / _LOCK):
        try:
            for name in _DATABASE_FILES:
                if (root / name).exists():
                    os.rename(root / name, root / name.replace(DATABASE, DATABASE + ".damaged"))
            sync_directory(root)
        except OSError as error:
            raise from_os_error(error, "setting aside", str(database)) from error
        return Catalog.open(database)


def _backend(
    root: Path, meta: Catalog, *, readonly: bool, found: Features | None = None
) -> Backend:
    """Return the backend, told what the store was made with and what this host can do.

    Both are recorded. A probe takes milliseconds and mounts things, so it is only made where the
    environment (boot, user, id maps, capabilities, file system) is another than at the last one;
    ``found`` is what one has found just now.
    """
    note = dataset.noted(root)
    if note is not None:
        return _on_dataset(root, note, meta, readonly=readonly)
    data = meta.setting("features")
    recorded = None if data is None else Features.from_json(data)
    if recorded is not None and (readonly or recorded.environment == probing.environment(root)):
        return OverlayBackend(root, recorded)
    if readonly:
        return OverlayBackend(root)
    found = found or OverlayBackend(root).probe()
    if recorded is not None:
        if conflict := found.format_conflict(recorded):
            raise InvalidOverlayError(conflict, path=root)
        # How its trees are written belongs to the store, for good.
        found = found._replace(
            userxattr=recorded.userxattr,
            squash_ids=recorded.squash_ids,
            drop_privileged_xattrs=recorded.drop_privileged_xattrs,
        )
    with meta.transaction():
        meta.set_setting("features", found.to_json())
    return OverlayBackend(root, found)


def _on_dataset(root: Path, note: dataset.Note, meta: Catalog, *, readonly: bool) -> Backend:
    from layerfs.backends.zfs import FEATURES, ZfsBackend  # noqa: PLC0415 - with a dataset only
    from layerfs.zfs import open_zfs  # noqa: PLC0415

    zfs = open_zfs()
    dataset.claim(note, zfs, readonly=readonly)
    return ZfsBackend(root, note.dataset, zfs, meta.chains, FEATURES)
