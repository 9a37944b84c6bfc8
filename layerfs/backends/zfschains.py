"""Chains of layers as datasets: found, made, published, and what a dead one leaves taken away.

A chain is made under a name of its own, snapshotted (from which on its tree is durable: a snapshot
waits for its transaction group), and then renamed, so that under a chain's name there is a whole
one, whoever made it. ``layerfs.backends.zfs`` says what datasets there are.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerfs import digest as digests
from layerfs.backends import Contents
from layerfs.chains import Chain, Chains
from layerfs.errors import (
    LimitExceededError,
    ValidationError,
    ZFSDatasetCreateFailedError,
    ZFSDatasetDestroyFailedError,
    ZFSError,
    from_os_error,
)
from layerfs.mounting import closing, open_dataset
from layerfs.zfs import ZfsFailure, refusal
from layerfs.zfs.names import MAX_LENGTH

if TYPE_CHECKING:
    from layerfs.zfs import Zfs

#: The snapshot of a chain that has its tree.
SNAPSHOT: Final = "layer"
#: Of a view's dataset: snapshots, each for as long as a commit reads it.
COMMIT: Final = "commit-"
#: What every dataset of ours has, whatever its parent has: layers need all of it.
PROPERTIES: Final = {
    "acltype": "posix",
    "atime": "off",
    "canmount": "noauto",
    "mountpoint": "none",
    "readonly": "off",
    "snapdir": "hidden",
    "xattr": "sa",
}
#: Fixed for good when a dataset is made; a clone has those of its origin.
_FORMAT: Final = {"casesensitivity": "sensitive", "normalization": "none", "utf8only": "off"}
#: Without these a mount does not show what layers have, in the words of any version.
_SHOWN: Final = {"acltype": {"posix", "posixacl"}, "xattr": {"on", "dir", "sa"}}
DIFF_ID: Final = "layerfs:diff-id"
PARENT: Final = "layerfs:parent"
#: Of an operation's directory: a dataset that goes with it.
_SCRATCH: Final = "dataset"
DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def refuse_long(place: str) -> None:
    """Raise ZFSDatasetCreateFailedError where the zfs snapshot of a chain can have no name."""
    if len(f"{place}@{SNAPSHOT}") >= MAX_LENGTH:
        raise ZFSDatasetCreateFailedError(
            f"the dataset {place} would have too long a name with its zfs snapshot: ZFS takes "
            f"{MAX_LENGTH - 1} bytes; make the store on a dataset of a shorter name"
        )


class ZfsChains:
    """The chains of the store in ``root``, below ``dataset``; ``chains`` records them.

    ``most``: layers in one stack.
    """

    def __init__(self, root: Path, dataset: str, zfs: Zfs, chains: Chains, most: int) -> None:
        self._root = root
        self.dataset = dataset
        self.zfs = zfs
        self.chains = chains
        self._most = most

    def place(self, chain_id: str) -> str:
        """Return the name of a chain's dataset."""
        return f"{self.dataset}/{digests.hexpart(chain_id)}"

    def prepare(self, diff_ids: Sequence[str], identity: str, contents: Contents) -> Chain:
        """Have the chain of these layers, base first, and return it.

        ``identity`` is that of the operation: what it leaves when it dies is named for it.
        """
        if not diff_ids:
            raise ValidationError("no layer to stack: name at least one")
        # Of a layer that occurs twice only the upper one can be seen, see PROTOCOL.md, 3.
        stack = list(dict.fromkeys(reversed(diff_ids)))[::-1]
        if len(stack) > self._most:
            raise LimitExceededError(
                f"{len(stack)} layers in one stack: this store takes at most "
                f"{self._most}; merge some of them first",
                limit=f"max_layers={self._most}",
            )
        wanted = list(zip(digests.chain_ids(stack), stack, strict=True))
        for chain_id, _ in wanted:
            refuse_long(self.place(chain_id))
        known = self.chains.known([chain_id for chain_id, _ in wanted])
        top: Chain | None = None
        for depth in reversed(range(len(wanted))):
            chain = known.get(wanted[depth][0])
            if chain is not None and self.is_whole(chain, shown=depth == len(wanted) - 1):
                top, wanted = chain, wanted[depth + 1 :]
                break
        for chain_id, diff_id in wanted:
            parent = "" if top is None else top.chain_id
            top = self._build(chain_id, diff_id, parent, identity, contents)
        assert top is not None, "there is at least one layer"
        return top

    def is_whole(self, chain: Chain, *, shown: bool = False) -> bool:
        """Whether the recorded snapshot is there; what is recorded wrongly is forgotten.

        ZFSError: it is to be ``shown``, and somebody has changed a property without which it would
        be another tree.
        """
        place = self.place(chain.chain_id)
        found = self._found(f"{place}@{SNAPSHOT}", ["guid", *(_SHOWN if shown else ())])
        if found.get("guid") != chain.guid:
            with self.chains.transaction():
                self.chains.forget([chain.chain_id])
            return False
        for name, values in _SHOWN.items() if shown else ():
            if found[name] not in values:
                raise ZFSError(
                    f"the dataset {place} was changed by somebody, so that it would show another "
                    f"tree: `zfs set {name}={PROPERTIES[name]} {place}` undoes that"
                )
        return True

    def guid(self, snapshot: str) -> str | None:
        """Return what tells a zfs snapshot from any other; None when there is none of that name."""
        return self._found(snapshot, ["guid"]).get("guid")

    def _found(self, snapshot: str, names: Sequence[str]) -> dict[str, str]:
        """Return properties of a zfs snapshot; empty when there is none of that name."""
        try:
            found = self.zfs.properties(snapshot, names)
        except ZfsFailure as error:
            if error.errno != errno.ENOENT:
                raise refusal(error) from error
            return {}
        return {name: "" if one is None else one.value for name, one in found.items()}

    def _build(
        self, chain_id: str, diff_id: str, parent: str, identity: str, contents: Contents
    ) -> Chain:
        from layerfs.apply import ApplyOptions  # noqa: PLC0415 - the tar machinery
        from layerfs.inplace import apply_in_place  # noqa: PLC0415

        told = {**PROPERTIES, DIFF_ID: diff_id, PARENT: parent}
        origin = f"{self.place(parent)}@{SNAPSHOT}" if parent else None
        try:
            with self.scratch(identity, told, origin) as (name, root_fd):
                contents(
                    diff_id,
                    lambda reader: apply_in_place(
                        reader, root_fd, first=not parent, options=ApplyOptions()
                    ),
                )
                self.zfs.snapshot([f"{name}@{SNAPSHOT}"])
                return self._settled(name, chain_id, diff_id, parent)
        except ZfsFailure as error:
            raise refusal(error) from error

    def _settled(self, name: str, chain_id: str, diff_id: str, parent: str) -> Chain:
        """Record a finished chain, which has its snapshot, and give it its name."""
        chain = Chain(chain_id, diff_id, parent, self.guid(f"{name}@{SNAPSHOT}") or "")
        # Before it has its name: a record without a dataset is forgotten when it is looked at; of
        # a dataset without one, which a kill in between left, nobody would know.
        with self.chains.transaction():
            if not self.chains.known([chain_id]):
                self.chains.put(chain)
        try:
            chain = self._published(name, chain)
        except BaseException:
            with self.chains.transaction():
                if self.chains.known([chain_id]).get(chain_id) == chain:
                    self.chains.forget([chain_id])
            raise
        with self.chains.transaction():
            self.chains.put(chain)
        return chain

    def found(self, chain_id: str) -> Chain | None:
        """Return a chain that is recorded, and there; None where it has to be made first."""
        chain = self.chains.known([chain_id]).get(chain_id)
        return chain if chain is not None and self.is_whole(chain) else None

    def send(self, chain: Chain) -> AbstractContextManager[Callable[[int], bytes]]:
        """Give what reads the stream of a chain, as it differs from its parent; see ``sending``."""
        from layerfs.zfs.pipes import sending  # noqa: PLC0415 - for streams only

        origin = f"{self.place(chain.parent)}@{SNAPSHOT}" if chain.parent else None
        return sending(self.zfs, f"{self.place(chain.chain_id)}@{SNAPSHOT}", origin)

    def receive(
        self, chain: Chain, identity: str, fill: Callable[[Callable[[bytes], None]], None]
    ) -> None:
        """Have a chain of a stream: ``fill`` is given what takes it; the parent is here, as sent.

        Raises what ``fill`` raises, and ZfsFailure; then nothing of it is here.
        """
        from layerfs.zfs.pipes import receiving  # noqa: PLC0415 - for streams only

        told = {**PROPERTIES, DIFF_ID: chain.diff_id, PARENT: chain.parent}
        origin = f"{self.place(chain.parent)}@{SNAPSHOT}" if chain.parent else None
        with self._temporary(identity) as name:
            with receiving(self.zfs, f"{name}@{SNAPSHOT}", told, origin) as take:
                fill(take)
            self._settled(name, chain.chain_id, chain.diff_id, chain.parent)

    def withdraw(self, chain_ids: Sequence[str]) -> None:
        """Take chains away again, and forget them, unless somebody has to do with one of them."""
        places = [self.place(one) for one in chain_ids]
        try:
            in_the_way = self.zfs.remove(places, snapshot=SNAPSHOT)
        except ZfsFailure as error:
            raise refusal(error) from error
        if not in_the_way:
            with self.chains.transaction():
                self.chains.forget(chain_ids)

    def _published(self, name: str, chain: Chain) -> Chain:
        """Give a finished chain its name; where another process was first, its own is as good."""
        place = self.place(chain.chain_id)
        try:
            self.zfs.rename(name, place)
        except ZfsFailure as error:
            if error.errno != errno.EEXIST:
                raise
            theirs = self._found(f"{place}@{SNAPSHOT}", ["guid", DIFF_ID, PARENT])
            if (theirs.get(DIFF_ID), theirs.get(PARENT)) != (chain.diff_id, chain.parent):
                raise ZFSDatasetCreateFailedError(
                    f"the dataset {place} is in the way, and not what this store calls so: rename "
                    "it, or destroy it if nobody needs it",
                    holder=f"dataset {place}",
                ) from error
            return chain._replace(guid=theirs["guid"])
        return chain

    @contextlib.contextmanager
    def scratch(
        self, identity: str, properties: dict[str, str], origin: str | None = None
    ) -> Iterator[tuple[str, int]]:
        """Make a dataset for one operation; give its name and a descriptor of its root.

        It goes as ``_temporary`` says.
        """
        with self._temporary(identity) as name:
            if origin is None:
                self.zfs.create(name, {**properties, **_FORMAT})
            else:
                self.zfs.clone(origin, name, properties)
            with closing(open_dataset(name, readonly=False)) as mount:
                root_fd = os.open(".", DIRECTORY, dir_fd=mount)
                try:
                    yield name, root_fd
                finally:
                    os.close(root_fd)

    @contextlib.contextmanager
    def _temporary(self, identity: str) -> Iterator[str]:
        """Give the name of a dataset of one operation, which the block makes.

        It goes at the end, unless it was renamed; ``recover`` takes away what a dead one left.
        """
        name = f"{self.dataset}/build-{identity}"
        note = self._root / "staging" / identity / _SCRATCH
        try:
            note.write_text(name)
        except OSError as error:
            raise from_os_error(error, "writing", os.fspath(note)) from error
        try:
            yield name
        finally:
            with contextlib.suppress(ZFSDatasetDestroyFailedError):  # stays, for gc
                self.take_away(name)
            note.unlink(missing_ok=True)

    def discard(self, name: str) -> None:
        """Destroy what an operation or a view has left. Raises ZFSError, and then all is there."""
        try:
            self.take_away(name)
        except ZfsFailure as error:
            raise refusal(error) from error

    def take_away(self, name: str) -> None:
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
                if one.name.removeprefix(f"{name}@").startswith((SNAPSHOT, COMMIT))
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
            self.discard(name)
        note.unlink(missing_ok=True)

    @contextlib.contextmanager
    def tree(self, snapshot: str) -> Iterator[int]:
        """Give a descriptor of the root of a zfs snapshot."""
        with closing(open_dataset(snapshot, readonly=True)) as mount:
            root_fd = os.open(".", DIRECTORY, dir_fd=mount)
            try:
                yield root_fd
            finally:
                os.close(root_fd)
