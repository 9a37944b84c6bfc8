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
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerfs import digest as digests
from layerfs import mounts
from layerfs.backends import Contents, Features, Sink
from layerfs.chains import Chain, Chains
from layerfs.errors import (
    LimitExceededError,
    PathError,
    ReadOnlyFilesystemError,
    UnmountFailedError,
    ValidationError,
    ZFSDatasetCreateFailedError,
    ZFSDatasetDestroyFailedError,
    from_os_error,
)
from layerfs.holders import named_copies
from layerfs.mounting import attach, closing, open_dataset, opened_target
from layerfs.zfs import ZfsFailure, refusal

if TYPE_CHECKING:
    from layerfs.tarstream import TarReader
    from layerfs.zfs import Facts, Obstacle, Zfs

#: The snapshot of a chain that has its tree.
SNAPSHOT: Final = "layer"
#: What every dataset of ours has, whatever its parent has: layers need all of it.
PROPERTIES: Final = {
    "acltype": "posix",
    "atime": "off",
    "canmount": "noauto",
    "mountpoint": "none",
    "readonly": "off",
    "xattr": "sa",
}
#: Fixed for good when a dataset is made; a clone has those of its origin.
_FORMAT: Final = {"casesensitivity": "sensitive", "normalization": "none", "utf8only": "off"}
DIFF_ID: Final = "layerfs:diff-id"
PARENT: Final = "layerfs:parent"
VIEW: Final = "layerfs:view"
#: Of a view's dataset: snapshots, each for as long as a commit reads it.
_COMMIT: Final = "commit-"
#: Of a view's directory: the dataset or snapshot that is mounted, a NUL, and the target.
_SOURCE: Final = "source"
#: Of an operation's directory: a dataset that goes with it.
_SCRATCH: Final = "dataset"
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


#: ZFS takes chains of any length; a stack is to fit the other backend as well.
FEATURES: Final = Features(
    userxattr=False,
    squash_ids=False,
    drop_privileged_xattrs=False,
    max_layers=mounts.MAX_LOWERDIRS,
    new_mount_api=True,
)


class ZfsBackend:
    """The zfs backend of the store in ``root``. Implements ``layerfs.backends.Backend``.

    ``dataset`` is there, and is this store's; ``chains`` is the store's record of what it has made.
    """

    name = "zfs"
    keeps_trees = False

    def __init__(
        self, root: Path, dataset: str, zfs: Zfs, chains: Chains, features: Features
    ) -> None:
        self._root = root
        self.dataset = dataset
        self.zfs = zfs
        self.chains = chains
        self.features = features

    def probe(self) -> Features:
        """See ``Backend.probe``."""
        return self.features

    # --- layers: only looked through, see the module's docstring

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

    def refuse_kept(self, diff_id: str) -> None:
        """See ``LayerStorage.refuse_kept``."""
        names = [self.place(one.chain_id) for one in self.chains.with_layer(diff_id)]
        for name in names:
            try:
                facts = self.zfs.facts_of(name)
            except ZfsFailure as error:
                if error.errno != errno.ENOENT:
                    raise refusal(error) from error
                continue
            for holder, what in _foreign(facts, frozenset(names)):
                raise _kept(diff_id, holder, what)

    def discard(self, diff_id: str, trash: Path) -> None:
        """See ``LayerStorage.discard``: all chains in which the layer has any place go at once."""
        if not trash.is_dir():
            raise PathError(f"{os.fspath(trash)!r} is no directory", path=trash)
        doomed = self.chains.with_layer(diff_id)
        if not doomed:
            return
        # One that was replaced is somebody else's: it stays, and is only forgotten.
        ours = [one for one in doomed if self._is_whole(one)]
        try:
            in_the_way = self.zfs.remove(
                [self.place(one.chain_id) for one in ours], snapshot=SNAPSHOT
            )
        except ZfsFailure as error:
            raise refusal(error) from error
        for one in in_the_way:
            raise _kept(diff_id, holder_of(one), one.what)
        with self.chains.transaction():
            self.chains.forget(one.chain_id for one in doomed)

    def enumerate(self) -> Iterator[str]:
        """See ``LayerStorage.enumerate``; layers have no trees of their own here."""
        return iter(())

    def size(self, diff_id: str) -> int:
        """See ``LayerStorage.size``: what chains took to put this layer on top."""
        total = 0
        for one in self.chains.topped_by(diff_id):
            with contextlib.suppress(ZfsFailure):  # gone: then it takes nothing
                found = self.zfs.properties(self.place(one.chain_id), ["usedbydataset"])
                used = found["usedbydataset"]
                total += 0 if used is None else int(used.value)
        return total

    def used(self) -> int:
        """See ``LayerStorage.used``: chains and writable views, as ZFS counts them."""
        try:
            found = self.zfs.properties(self.dataset, ["used"])["used"]
        except ZfsFailure as error:
            raise refusal(error) from error
        return 0 if found is None else int(found.value)

    # --- views

    def view(
        self,
        diff_ids: Sequence[str],
        target: Path,
        run: Path,
        *,
        writable: bool,
        contents: Contents,
    ) -> None:
        """See ``LayerViews.view``."""
        top = self.prepare(diff_ids, run.name, contents)
        source = f"{self.dataset}/view-{run.name}" if writable else f"{top}@{SNAPSHOT}"
        try:
            run.mkdir(mode=0o700)
            note = os.fsencode(source) + b"\0" + os.fsencode(target)
            (run / _SOURCE).write_bytes(note)
        except OSError as error:
            raise from_os_error(error, "preparing the view", os.fspath(run)) from error
        try:
            if writable:
                self.zfs.clone(f"{top}@{SNAPSHOT}", source, {**PROPERTIES, VIEW: run.name})
            with (
                closing(open_dataset(source, readonly=not writable)) as mount,
                opened_target(target) as target_fd,
            ):
                attach(mount, target_fd, target, "dataset")
        except BaseException as error:
            self._discard_view(run)
            if isinstance(error, ZfsFailure):
                raise refusal(error) from error
            raise

    def end_view(self, target: Path, run: Path) -> None:
        """See ``LayerViews.end_view``."""
        noted = self._noted(run)
        if noted is not None:
            table = mounts.mountinfo()
            if self._is_ours(target, noted[0], table):
                mounts.unmount(target, table)
            elif noted[0].find(b"@") < 0:
                self._refuse_displaced(target, noted[0], table)
            if held := "; ".join(named_copies(*noted)):
                raise UnmountFailedError(
                    f"{os.fspath(target)!r} is in use: {held} in another mount namespace",
                    path=target,
                    holder=held,
                )
        self.forget_view(run)

    def forget_view(self, run: Path) -> None:
        """See ``LayerViews.forget_view``."""
        self._discard_view(run)

    def mounted(self, target: Path, run: Path) -> bool:
        """See ``LayerViews.mounted``."""
        noted = self._noted(run)
        return noted is not None and self._is_ours(target, noted[0], None)

    def held(self, run: Path) -> list[str]:
        """See ``LayerViews.held``; copies of a read-only view are told by where they are mounted.

        All views of one stack are mounts of one snapshot.
        """
        noted = self._noted(run)
        return [] if noted is None else named_copies(*noted)

    def _noted(self, run: Path) -> tuple[bytes, bytes] | None:
        """Return what is mounted for the view, and where; None when it was not yet mounted."""
        try:
            source, _, target = (run / _SOURCE).read_bytes().partition(b"\0")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(error, "looking at view", os.fspath(run)) from error
        return source, target

    def _is_ours(
        self, target: Path, source: bytes, table: Sequence[mounts.MountEntry] | None
    ) -> bool:
        try:
            entry = mounts.mount_at(target, table)
        except OSError as error:
            raise from_os_error(error, "looking at", os.fspath(target)) from error
        return entry is not None and entry.fstype == "zfs" and entry.source == source

    def _refuse_displaced(
        self, target: Path, source: bytes, table: Sequence[mounts.MountEntry]
    ) -> None:
        """Raise if a writable view is in this namespace, though not on top of ``target``."""
        for entry in table:
            if entry.fstype == "zfs" and entry.source == source:
                where = os.fsdecode(entry.target)
                what = f"mounted on {where!r} now: unmount it there"
                if os.path.realpath(target) == where:
                    what = "covered by another mount: unmount that first"
                raise UnmountFailedError(
                    f"the view of {os.fspath(target)!r} is {what}",
                    path=target,
                    holder=f"mount {where}",
                )

    def _discard_view(self, run: Path) -> None:
        """Remove the view's dataset and directory, as far as they are there.

        A dataset of which somebody has taken a snapshot stays, for garbage collection.
        """
        noted = self._noted(run)
        if noted is not None and b"@" not in noted[0]:
            name = os.fsdecode(noted[0])
            try:
                with contextlib.suppress(ZFSDatasetDestroyFailedError):
                    self._discard(name)
            except ZfsFailure as error:
                if error.errno != errno.EBUSY:
                    raise refusal(error) from error
                holder = "; ".join(named_copies(noted[0])) or f"dataset {name}"
                raise UnmountFailedError(
                    f"the dataset {name} of view {run.name} is in use: {holder}", holder=holder
                ) from error
        from layerfs.removal import remove_tree  # noqa: PLC0415 - not needed for a mount

        remove_tree(run)

    def discard_dataset(self, name: str) -> None:
        """Destroy what an operation or a view has left. Raises ZFSError, and then all is there."""
        try:
            self._discard(name)
        except ZfsFailure as error:
            raise refusal(error) from error

    def _discard(self, name: str) -> None:
        """Destroy a dataset of one operation, with the snapshots that we took of it.

        Raises ZfsFailure, and ZFSDatasetDestroyFailedError where somebody else has to do with it.
        """
        try:
            self.zfs.destroy(name)
        except ZfsFailure as error:
            if error.errno == errno.ENOENT:
                return
            if error.errno not in {errno.EEXIST, errno.EBUSY, errno.ENOTEMPTY}:
                raise
            facts = self.zfs.facts_of(name)
            ours = [
                one.name
                for one in facts.snapshots
                if one.name.removeprefix(f"{name}@").startswith((SNAPSHOT, _COMMIT))
                and not one.holds
                and not one.clones
            ]
            others = [*facts.children, *(one.name for one in facts.snapshots)]
            if theirs := [other for other in others if other not in ours]:
                raise ZFSDatasetDestroyFailedError(
                    f"dataset {name} cannot be destroyed: {theirs[0]} is not this store's; remove "
                    "that first",
                    holder=theirs[0],
                ) from error
            if not ours:
                raise
            self.zfs.destroy_snapshots(ours)
            self.zfs.destroy(name)

    # --- chains

    def prepare(self, diff_ids: Sequence[str], identity: str, contents: Contents) -> str:
        """Have the chain of these layers, base first, and return its dataset.

        ``identity`` is that of the operation: what it leaves when it dies is named for it.
        """
        if not diff_ids:
            raise ValidationError("no layer to stack: name at least one")
        # Of a layer that occurs twice only the upper one can be seen, see PROTOCOL.md, 3.
        stack = list(dict.fromkeys(reversed(diff_ids)))[::-1]
        if len(stack) > self.features.max_layers:
            raise LimitExceededError(
                f"{len(stack)} layers in one stack: this store takes at most "
                f"{self.features.max_layers}; merge some of them first",
                limit=f"max_layers={self.features.max_layers}",
            )
        wanted = [
            (digests.chain_id(stack[: depth + 1]), diff_id) for depth, diff_id in enumerate(stack)
        ]
        known = self.chains.known([chain_id for chain_id, _ in wanted])
        parent = ""
        for depth in reversed(range(len(wanted))):
            if wanted[depth][0] in known and self._is_whole(known[wanted[depth][0]]):
                parent, wanted = wanted[depth][0], wanted[depth + 1 :]
                break
        for chain_id, diff_id in wanted:
            self._build(chain_id, diff_id, parent, identity, contents)
            parent = chain_id
        return self.place(parent)

    def _is_whole(self, chain: Chain) -> bool:
        """Whether the recorded snapshot is there; what is recorded wrongly is forgotten."""
        if self._guid(f"{self.place(chain.chain_id)}@{SNAPSHOT}") == chain.guid:
            return True
        with self.chains.transaction():
            self.chains.forget([chain.chain_id])
        return False

    def _guid(self, snapshot: str) -> str | None:
        """Return what tells a zfs snapshot from any other; None when there is none of that name."""
        try:
            found = self.zfs.properties(snapshot, ["guid"])["guid"]
        except ZfsFailure as error:
            if error.errno != errno.ENOENT:
                raise refusal(error) from error
            return None
        return None if found is None else found.value

    def _build(
        self, chain_id: str, diff_id: str, parent: str, identity: str, contents: Contents
    ) -> None:
        from layerfs.apply import ApplyOptions  # noqa: PLC0415 - the tar machinery
        from layerfs.inplace import apply_in_place  # noqa: PLC0415

        told = {**PROPERTIES, DIFF_ID: diff_id, PARENT: parent}
        origin = f"{self.place(parent)}@{SNAPSHOT}" if parent else None
        try:
            with self._scratch(identity, told, origin) as (name, root_fd):
                contents(
                    diff_id,
                    lambda reader: apply_in_place(
                        reader, root_fd, first=not parent, options=ApplyOptions()
                    ),
                )
                self.zfs.snapshot([f"{name}@{SNAPSHOT}"])
                self._publish(name, chain_id, told)
        except ZfsFailure as error:
            raise refusal(error) from error
        guid = self._guid(f"{self.place(chain_id)}@{SNAPSHOT}")
        with self.chains.transaction():
            self.chains.put(Chain(chain_id, diff_id, parent, guid or ""))

    def _publish(self, name: str, chain_id: str, told: Mapping[str, str]) -> None:
        """Give a finished chain its name; where another process was first, its own is as good."""
        place = self.place(chain_id)
        try:
            self.zfs.rename(name, place)
        except ZfsFailure as error:
            if error.errno != errno.EEXIST:
                raise
            theirs = self.zfs.properties(f"{place}@{SNAPSHOT}", [DIFF_ID, PARENT])
            said = {key: one and one.value for key, one in theirs.items()}
            if said != {DIFF_ID: told[DIFF_ID], PARENT: told[PARENT]}:
                raise ZFSDatasetCreateFailedError(
                    f"the dataset {place} is in the way, and not what this store calls so: rename "
                    "it, or destroy it if nobody needs it",
                    holder=f"dataset {place}",
                ) from error

    @contextlib.contextmanager
    def _scratch(
        self, identity: str, properties: dict[str, str], origin: str | None = None
    ) -> Iterator[tuple[str, int]]:
        """Make a dataset for one operation; give its name and a descriptor of its root.

        It goes at the end, unless it was renamed; ``recover`` takes away what a dead one left.
        """
        name = f"{self.dataset}/build-{identity}"
        note = self._root / "staging" / identity / _SCRATCH
        try:
            note.write_text(name)
        except OSError as error:
            raise from_os_error(error, "writing", os.fspath(note)) from error
        try:
            if origin is None:
                self.zfs.create(name, {**properties, **_FORMAT})
            else:
                self.zfs.clone(origin, name, properties)
            with closing(open_dataset(name, readonly=False)) as mount:
                root_fd = os.open(".", _DIRECTORY, dir_fd=mount)
                try:
                    yield name, root_fd
                finally:
                    os.close(root_fd)
        finally:
            with contextlib.suppress(ZFSDatasetDestroyFailedError):  # stays, for gc
                self._discard(name)
            note.unlink(missing_ok=True)

    def recover(self, staging: Path) -> None:
        """See ``Backend.recover``."""
        note = staging / _SCRATCH
        try:
            name = note.read_text()
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os_error(error, "reading", os.fspath(note)) from error
        with contextlib.suppress(ZFSDatasetDestroyFailedError):  # stays, for gc
            self.discard_dataset(name)
        note.unlink(missing_ok=True)

    def place(self, chain_id: str) -> str:
        """Return the name of a chain's dataset."""
        return f"{self.dataset}/{digests.hexpart(chain_id)}"

    # --- the content of views and layers

    def changes(self, run: Path, sink: Sink, *, source_date_epoch: int | None = None) -> None:
        """See ``LayerViews.changes``; the view is looked at as it is at one moment, by a snapshot.

        Compared with the tree that it was made of by inode and time of change, which nobody can
        set: so an edit of equal size with its old mtime is found (``zfs diff`` tells no more).
        """
        from layerfs.backends.changed import write_difference  # noqa: PLC0415 - the tar machinery

        noted = self._noted(run)
        if noted is None or b"@" in noted[0]:
            raise ReadOnlyFilesystemError(
                "a read-only view has no changes: stack the layers writable to commit", path=run
            )
        name = os.fsdecode(noted[0])
        moment = f"{name}@{_COMMIT}{os.urandom(8).hex()}"
        try:
            origin = self.zfs.properties(name, ["origin"])["origin"]
            assert origin is not None, "a view is a clone"
            self.zfs.snapshot([moment])
            try:
                with self._tree(origin.value) as before, self._tree(moment) as after:
                    write_difference(before, after, sink, source_date_epoch=source_date_epoch)
            finally:
                self.zfs.destroy_snapshots([moment])
        except ZfsFailure as error:
            raise refusal(error) from error

    @contextlib.contextmanager
    def _tree(self, snapshot: str) -> Iterator[int]:
        """Give a descriptor of the root of a zfs snapshot."""
        with closing(open_dataset(snapshot, readonly=True)) as mount:
            root_fd = os.open(".", _DIRECTORY, dir_fd=mount)
            try:
                yield root_fd
            finally:
                os.close(root_fd)

    def merge(self, diff_ids: Sequence[str], sink: Sink, staging: Path, contents: Contents) -> None:
        """See ``LayerContent.merge``: the layers are unpacked side by side in a scratch dataset."""
        from layerfs.merge import merge  # noqa: PLC0415 - the tar machinery

        stack = list(dict.fromkeys(reversed(diff_ids)))[::-1]
        mounts.allow_descriptors(len(stack) + 256)
        try:
            with (
                self._scratch(staging.name, dict(PROPERTIES)) as (_, root_fd),
                contextlib.ExitStack() as opened,
            ):
                layers = []
                for number, diff_id in enumerate(stack):
                    os.mkdir(f"{number}", 0o700, dir_fd=root_fd)
                    fd = os.open(f"{number}", _DIRECTORY, dir_fd=root_fd)
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
            snapshot = f"{self.place(chain.chain_id)}@{SNAPSHOT}"
            guid = self._guid(snapshot)
            if guid is None:
                continue  # made again when it is asked for
            if guid != chain.guid:
                problems.append((b".", f"{snapshot} is another zfs snapshot than was made"))
                continue
            with contextlib.ExitStack() as opened:
                below = f"{self.place(chain.parent)}@{SNAPSHOT}" if chain.parent else None
                before = None if below is None else opened.enter_context(self._tree(below))
                after = opened.enter_context(self._tree(snapshot))
                problems += unreadable(before, after)
        return sorted(set(problems))


def _foreign(facts: Facts, ours: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Tell what somebody else has made of a chain's dataset: its name, and what it is.

    ``ours`` are the datasets of chains.
    """
    for child in facts.children:
        yield child, f"dataset {child}"
    for snapshot in facts.snapshots:
        if snapshot.name != f"{facts.name}@{SNAPSHOT}":
            yield snapshot.name, f"snapshot {snapshot.name}"
        for tag in snapshot.holds:
            yield f"{snapshot.name} {tag}", f"hold {tag} on {snapshot.name}"
        for clone in snapshot.clones:
            if clone not in ours:
                yield clone, f"clone {clone}"


def _kept(diff_id: str, holder: str, what: str) -> ZFSDatasetDestroyFailedError:
    return ZFSDatasetDestroyFailedError(
        f"the datasets of layer {diff_id} cannot be destroyed: {what} is not this store's; remove "
        "that first",
        digest=diff_id,
        holder=holder,
    )


def holder_of(obstacle: Obstacle) -> str:
    """Return the name of what is in the way of a dataset: PROTOCOL.md, section 5."""
    kind, _, name = obstacle.what.partition(" ")
    if kind == "hold":
        tag, _, snapshot = name.partition(" on ")
        return f"{snapshot} {tag}"
    if kind in {"snapshot", "child", "clone"}:
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
