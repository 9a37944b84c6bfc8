"""What a store asks of a backend: storage for layers, views of stacks, and reading both back.

A backend knows directories (or datasets) and mounts. It knows no blob, no image and no lease: the
store decides what may be done, keeps what was done, and holds the locks. Everything here is named
by **diffID** ("sha256:<hex>"), since two compressions of one layer share one tree. A list of
diffIDs is base first. Only the command line and ``LayerFS.open`` choose a backend.

A backend may keep the tree of each layer (``overlay``), or unpack layers when a stack is asked for,
since it needs those below (``zfs``). It then reads them by ``Contents``, which the store gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from layerfs.errors import MetadataError

if TYPE_CHECKING:
    from layerfs.reports import DatasetSpace
    from layerfs.tarstream import TarReader


#: ``contents(diff_id, consume)`` reads the layer's blob, lets ``consume`` have its tar, and holds
#: it against its digests. Raises what ``consume`` raises, and StorageError for a damaged blob.
Contents = Callable[[str, "Callable[[TarReader], object]"], None]


class Sink(Protocol):
    """Anything that takes bytes in order."""

    def write(self, data: bytes, /) -> Any:
        """Take all of ``data``."""


class Features(NamedTuple):
    """What this host, this user and the file system of this store can do. Found by doing it.

    The first three shape the stored trees, and so belong to the store for its life: the store
    records them when it is created, and hands them to the backend at each open. The rest belongs
    to one environment, and is worth keeping for as long as ``environment`` is the same.
    """

    userxattr: bool  #: overlayfs's own marks are ``user.overlay.*``, not ``trusted.overlay.*``
    squash_ids: bool  #: every file belongs to the one id that is mapped here
    drop_privileged_xattrs: bool  #: trusted.* and most security.* of layers cannot be kept
    max_layers: int  #: in one view, as seen by the caller
    new_mount_api: bool = False  #: fsconfig(2) with ``lowerdir+`` (Linux 6.5)
    mount_lacks: str = ""  #: why nothing can be mounted here, with the remedy; empty if it can
    upper_lacks: str = ""  #: why no writable view can be had here; empty if it can
    environment: str = ""  #: equal for equal boots, users, id maps, capabilities and file systems

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON's own types."""
        return self._asdict()

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Features:
        """Read what ``to_json`` wrote. Unknown names are refused with MetadataError."""
        try:
            if extra := sorted(set(data) - set(cls._fields)):
                raise MetadataError(f"the recorded features name {extra[0]!r}, unknown here")
            return cls(**data)
        except TypeError as error:
            raise MetadataError(f"the recorded features are not whole: {error}") from error

    def format_conflict(self, recorded: Features) -> str:
        """Say why a store made with ``recorded`` cannot be used here; empty if it can.

        Marks in ``user.overlay.*`` can be read by all; marks in ``trusted.overlay.*`` only by the
        host's own root: elsewhere deleted files would come back to life.
        """
        if self.userxattr and not recorded.userxattr:
            return (
                "the store was made by the host's root, whose whiteouts (trusted.overlay.*) are "
                "invisible in a user namespace: use it as root, or make another store"
            )
        return ""


class LayerStorage(Protocol):
    """The trees of layers, each whole or absent."""

    #: Whether each layer has a tree of its own, which is missing when it is not there.
    keeps_trees: bool

    def ingest(self, reader: TarReader, staging: Path) -> int | None:
        """Extract a layer below ``staging``, an empty directory of this store.

        Return the bytes that it takes on disk, where that is known without looking again.

        Nothing is durable until the store has synced it. After an error ``staging`` holds
        whatever was extracted, which the store removes. Raises what ``apply`` raises.
        """

    def publish(self, staging: Path, diff_id: str) -> bool:
        """Rename what ``ingest`` made to its place; False when the layer was there already.

        The directory that holds the name is synced before the return. With False, ``staging`` is
        untouched, and remains the caller's to remove.
        """

    def release(self, diff_id: str) -> None:
        """Let go of what was made of the layer, and can be made again, before it is removed.

        ZFSDatasetDestroyFailedError, and nothing was changed: somebody else keeps it; ``holder`` is
        the snapshot, clone, hold or mount.
        """

    def discard(self, diff_id: str, trash: Path) -> None:
        """Take the layer away; what can be renamed goes into ``trash``, a directory of this store.

        None is fine. What was made of it goes as well: raises as ``release``.
        """

    def enumerate(self) -> Iterator[str]:
        """Yield the diffIDs that are published, in no order."""

    def size(self, diff_id: str) -> int:
        """Return the bytes that the layer takes on disk (blocks, hardlinks once)."""

    def space(self) -> DatasetSpace | None:
        """Return the space of the dataset that has what was made of the layers; None without ZFS.

        It is not recorded with the layers. Raises ZFSError.
        """


class LayerViews(Protocol):
    """Stacks, mounted."""

    def view(
        self,
        diff_ids: Sequence[str],
        target: Path,
        run: Path,
        *,
        writable: bool,
        contents: Contents,
    ) -> None:
        """Mount the stack of ``diff_ids`` (base first) on ``target``, an existing directory.

        ``run`` must not exist, its parent must; it keeps what the view needs, and its name must be
        unique among all stores (mountinfo shows it): it is that of the operation. After an error
        nothing is mounted and ``run`` does not exist. Raises ValidationError (no layer),
        LimitExceededError (``max_layers``; before anything is done), StorageError (a layer's tree
        is missing or damaged), InvalidOverlayError, InvalidMountPointError, PermissionDeniedError,
        MountFailedError, WriteFailedError.
        """

    def end_view(self, target: Path, run: Path) -> None:
        """Unmount ``target`` and remove ``run``; done twice, or after a reboot, it succeeds.

        Only the mount made from ``run`` is unmounted: a foreign one on the same target is left
        alone. UnmountFailedError: busy, or living on in another namespace; nothing was removed,
        and a retry may succeed.
        """

    def forget_view(self, run: Path) -> None:
        """Remove what is left of a view that is mounted nowhere; done twice, it succeeds."""

    def mounted(self, target: Path, run: Path) -> bool:
        """Say whether the view made with ``run`` is mounted on ``target`` in this namespace."""

    def held(self, run: Path) -> list[str]:
        """Say which processes, of whatever namespace, have the view made with ``run`` mounted.

        Empty when no process has it any more: what is recorded of it is stale. Unlike a
        namespace's inode number, this can be told of the processes of other users too.
        """

    def changes(self, run: Path, sink: Sink, *, source_date_epoch: int | None = None) -> None:
        """Write the changes of a writable view as a layer's tar, the same bytes each time.

        Times after ``source_date_epoch`` (seconds) are written as that. ReadOnlyFilesystemError:
        the view is not writable.
        """


class LayerContent(Protocol):
    """Layers, read back."""

    def merge(self, diff_ids: Sequence[str], sink: Sink, staging: Path, contents: Contents) -> None:
        """Write one layer's tar whose effect is that of ``diff_ids`` in order.

        ``staging`` is the operation's directory.
        """

    def damage(self, diff_id: str, reader: TarReader) -> list[tuple[bytes, str]]:
        """Compare the stored tree with its tar: (path, problem) for each difference."""


class Backend(LayerStorage, LayerViews, LayerContent, Protocol):
    """All that a store needs. Open-ended state is on disk only: two objects are as good as one."""

    name: str

    @property
    def dataset(self) -> str | None:
        """The dataset below which a store on ZFS keeps its layers; None without ZFS."""

    def probe(self) -> Features:
        """Find out what can be done here, by doing it. Leaves nothing behind.

        InvalidOverlayError: the file system cannot store layers; the message says what lacks.
        """

    def recover(self, staging: Path) -> None:
        """Take away what a dead operation has made outside of its directory; done twice, fine."""
