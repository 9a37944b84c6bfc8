"""Stacks as ZFS datasets: each chain of layers is one, cloned from that of the layers below.

    DATASET                  the store's own; ``layerfs:store`` says whose it is
    DATASET/<hex>@layer      the tree of the chain with the chainID sha256:<hex>, for good
    DATASET/build-<id>       a chain that the operation <id> makes, or its scratch
    DATASET/view-<id>        what the writable view run/<id> changes, a clone of a chain's snapshot

A layer alone has no tree here: what it does depends on the layers below. Its blob is unpacked into
a chain when that is first asked for, and the chain can be thrown away and made again at any time.
It is made under a name of its own, snapshotted (from which on its tree is durable: a snapshot waits
for its transaction group), and then renamed, so that under a chain's name there is a whole one.

A read-only view is a mount of the zfs snapshot, without a dataset of its own. No mount uses
``zfs mount``, mountpoints or /etc/fstab. Every dataset says in its user properties what it is, so
that the pool alone tells what belongs to which store.

Nothing is destroyed but datasets with the names above and their own snapshots. Where somebody has
added a snapshot, a clone or a hold, that is named in the error, and all stays.

Sources: zfs-clone(8), zfs-snapshot(8), zfsprops(7), zfsconcepts(7).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerfs import mounts
from layerfs.backends import Contents, Features, Sink
from layerfs.backends.zfschains import COMMIT, DIRECTORY, PROPERTIES, SNAPSHOT, ZfsChains
from layerfs.backends.zfsviews import ZfsViews
from layerfs.chains import Chains
from layerfs.errors import PathError, ReadOnlyFilesystemError, ZFSDatasetDestroyFailedError
from layerfs.reports import DatasetSpace
from layerfs.zfs import ZfsFailure, refusal

if TYPE_CHECKING:
    from layerfs.tarstream import TarReader
    from layerfs.zfs import Obstacle, Zfs

#: ZFS takes chains of any length; a stack is to fit the other backend as well.
FEATURES: Final = Features(
    userxattr=False,
    squash_ids=False,
    drop_privileged_xattrs=False,
    max_layers=mounts.MAX_LOWERDIRS,
    new_mount_api=True,
)


class ZfsBackend(ZfsViews):
    """The zfs backend of the store in ``root``. Implements ``layerfs.backends.Backend``.

    ``dataset`` is there, and is this store's; ``chains`` is the store's record of what it has made.
    """

    name = "zfs"
    keeps_trees = False

    def __init__(
        self, root: Path, dataset: str, zfs: Zfs, chains: Chains, features: Features
    ) -> None:
        super().__init__(ZfsChains(root, dataset, zfs, chains, features.max_layers))
        self._root = root
        self.dataset = dataset
        self.chains = chains
        self.features = features

    def probe(self) -> Features:
        """See ``Backend.probe``."""
        return self.features

    def ingest(self, reader: TarReader, staging: Path) -> int | None:  # noqa: ARG002
        """See ``LayerStorage.ingest``; the layer is read and judged, and nothing is kept of it."""
        from layerfs.layertree import LayerTree  # noqa: PLC0415 - the tar machinery

        tree = LayerTree(reader.limits)
        for member in reader:
            tree.add(member)
            tree.made.clear()
        tree.settle()
        return 0

    def publish(self, staging: Path, diff_id: str) -> bool:  # noqa: ARG002
        """See ``LayerStorage.publish``."""
        return True

    def release(self, diff_id: str) -> None:
        """See ``LayerStorage.release``: all chains in which the layer has any place go at once."""
        doomed = self.chains.with_layer(diff_id)
        if not doomed:
            return
        # One that was replaced is somebody else's: it stays, and is only forgotten.
        ours = [self.trees.place(one.chain_id) for one in doomed if self.trees.is_whole(one)]
        try:
            in_the_way = self.zfs.remove(ours, snapshot=SNAPSHOT) if ours else []
        except ZfsFailure as error:
            raise refusal(error) from error
        for one in in_the_way:
            raise ZFSDatasetDestroyFailedError(
                f"the datasets of layer {diff_id} cannot be destroyed: {one.what} is not this "
                "store's; remove that first",
                digest=diff_id,
                holder=holder_of(one),
            )
        with self.chains.transaction():
            self.chains.forget(one.chain_id for one in doomed)

    def discard(self, diff_id: str, trash: Path) -> None:
        """See ``LayerStorage.discard``; the layer has nothing of its own here."""
        if not trash.is_dir():
            raise PathError(f"{os.fspath(trash)!r} is no directory", path=trash)
        self.release(diff_id)

    def enumerate(self) -> Iterator[str]:
        """See ``LayerStorage.enumerate``; layers have no trees of their own here."""
        return iter(())

    def size(self, diff_id: str) -> int:
        """See ``LayerStorage.size``: what chains took to put this layer on top."""
        total = 0
        for one in self.chains.topped_by(diff_id):
            with contextlib.suppress(ZfsFailure):  # gone: then it takes nothing
                found = self.zfs.properties(self.trees.place(one.chain_id), ["usedbydataset"])
                used = found["usedbydataset"]
                total += 0 if used is None else int(used.value)
        return total

    def space(self) -> DatasetSpace:
        """See ``LayerStorage.space``: of chains and writable views."""
        try:
            found = self.zfs.properties(self.dataset, ["used", "available", "compressratio"])
        except ZfsFailure as error:
            raise refusal(error) from error
        used, available, ratio = (one.value if one else "0" for one in found.values())
        return DatasetSpace(self.dataset, int(used), int(available), ratio)

    def recover(self, staging: Path) -> None:
        """See ``Backend.recover``."""
        self.trees.recover(staging)

    def changes(self, run: Path, sink: Sink, *, source_date_epoch: int | None = None) -> None:
        """See ``LayerViews.changes``; the view is looked at as it is at one moment, by a snapshot.

        Compared with the tree that it was made of by inode and time of change, which nobody can
        set: so an edit of equal size with its old mtime is found (``zfs diff`` tells no more).
        """
        from layerfs.backends.changed import write_difference  # noqa: PLC0415 - the tar machinery

        noted = self.noted(run)
        if noted is None or b"@" in noted[0]:
            raise ReadOnlyFilesystemError(
                "a read-only view has no changes: stack the layers writable to commit", path=run
            )
        name = os.fsdecode(noted[0])
        moment = f"{name}@{COMMIT}{os.urandom(8).hex()}"
        try:
            origin = self.zfs.properties(name, ["origin"])["origin"]
            assert origin is not None, "a view is a clone"
            self.zfs.snapshot([moment])
            try:
                with self.trees.tree(origin.value) as before, self.trees.tree(moment) as after:
                    write_difference(before, after, sink, source_date_epoch=source_date_epoch)
            finally:
                self.zfs.destroy_snapshots([moment])
        except ZfsFailure as error:
            raise refusal(error) from error

    def merge(self, diff_ids: Sequence[str], sink: Sink, staging: Path, contents: Contents) -> None:
        """See ``LayerContent.merge``: the layers are unpacked side by side in a scratch dataset."""
        from layerfs.merge import merge  # noqa: PLC0415 - the tar machinery

        stack = list(dict.fromkeys(reversed(diff_ids)))[::-1]
        mounts.allow_descriptors(len(stack) + 256)
        try:
            with (
                self.trees.scratch(staging.name, dict(PROPERTIES)) as (_, root_fd),
                contextlib.ExitStack() as opened,
            ):
                layers = []
                for number, diff_id in enumerate(stack):
                    os.mkdir(f"{number}", 0o700, dir_fd=root_fd)
                    fd = os.open(f"{number}", DIRECTORY, dir_fd=root_fd)
                    opened.callback(os.close, fd)
                    layers.append((fd, _unpacked(contents, diff_id, fd)))
                merge(layers, sink, userxattr=False)
        except ZfsFailure as error:
            raise refusal(error) from error

    def damage(self, diff_id: str, reader: TarReader) -> list[tuple[bytes, str]]:
        """See ``LayerContent.damage``.

        A zfs snapshot cannot be changed. So it is whole when it is the one that was made, which its
        guid says, and when all that the layer brought can be read, which ZFS's checksums decide.
        """
        from layerfs.backends.changed import unreadable  # noqa: PLC0415 - the tar machinery

        self.ingest(reader, self._root)
        problems: list[tuple[bytes, str]] = []
        for chain in self.chains.topped_by(diff_id):
            snapshot = f"{self.trees.place(chain.chain_id)}@{SNAPSHOT}"
            guid = self.trees.guid(snapshot)
            if guid is None:
                continue  # made again when it is asked for
            if guid != chain.guid:
                problems.append((b".", f"{snapshot} is another zfs snapshot than was made"))
                continue
            with contextlib.ExitStack() as opened:
                below = f"{self.trees.place(chain.parent)}@{SNAPSHOT}" if chain.parent else None
                before = None if below is None else opened.enter_context(self.trees.tree(below))
                after = opened.enter_context(self.trees.tree(snapshot))
                problems += unreadable(before, after)
        return sorted(set(problems))


def holder_of(obstacle: Obstacle) -> str:
    """Return the name of what is in the way of a dataset: PROTOCOL.md, section 5."""
    kind, _, name = obstacle.what.partition(" ")
    if kind == "hold":
        tag, _, snapshot = name.partition(" on ")
        return f"{snapshot} {tag}"
    if kind in {"snapshot", "child", "clone", "bookmark"}:
        return name
    # Busy: the name comes first.
    for entry in mounts.mountinfo():
        if entry.fstype == "zfs" and os.fsdecode(entry.source).partition("@")[0] == obstacle.name:
            return os.fsdecode(entry.target)
    return obstacle.name


def _unpacked(contents: Contents, diff_id: str, fd: int) -> frozenset[bytes]:
    """Unpack a layer by itself, and return the directories that are implicit in it."""
    from layerfs.apply import apply  # noqa: PLC0415 - the tar machinery

    implicit: list[bytes] = []
    contents(diff_id, lambda reader: implicit.extend(apply(reader, fd).implicit))
    return frozenset(implicit)
