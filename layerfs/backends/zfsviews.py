"""Views of chains: mounts of their zfs snapshots, or of clones that take changes.

All views of one stack are mounts of one snapshot, so that what is mounted does not tell of which
view it is: a read-only one is known by snapshot and target together. ``layerfs.backends.zfs`` says
what datasets there are.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from layerfs import mounts, syscalls
from layerfs.backends import Contents
from layerfs.backends.zfschains import PROPERTIES, SNAPSHOT, ZfsChains
from layerfs.errors import UnmountFailedError, ZFSDatasetDestroyFailedError, from_os_error
from layerfs.holders import named_copies
from layerfs.mounting import attach, closing, open_dataset, opened_target
from layerfs.zfs import ZfsFailure, refusal

VIEW: Final = "layerfs:view"
#: Of a view's directory: the dataset or snapshot that is mounted, the target, and the guid of the
#: chain's snapshot; a NUL between them.
_SOURCE: Final = "source"
#: Of a view's directory: the number of its mount, which it keeps wherever it is moved to.
_MOUNT: Final = "mount"


class ZfsViews:
    """The views of one store; implements ``layerfs.backends.LayerViews`` but for ``changes``."""

    def __init__(self, trees: ZfsChains) -> None:
        self.trees = trees
        self.zfs = trees.zfs

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
        top = self.trees.prepare(diff_ids, run.name, contents)
        snapshot = f"{self.trees.place(top.chain_id)}@{SNAPSHOT}"
        source = f"{self.trees.dataset}/view-{run.name}" if writable else snapshot
        try:
            run.mkdir(mode=0o700)
            note = b"\0".join(os.fsencode(one) for one in (source, target, top.guid))
            (run / _SOURCE).write_bytes(note)
        except OSError as error:
            raise from_os_error(error, "preparing the view", os.fspath(run)) from error
        try:
            if writable:
                self.zfs.clone(snapshot, source, {**PROPERTIES, VIEW: run.name})
            with (
                closing(open_dataset(source, readonly=not writable)) as mount,
                opened_target(target) as target_fd,
            ):
                number, _ = syscalls.mount_of(mount, "", syscalls.AT_EMPTY_PATH)
                (run / _MOUNT).write_text(str(number))
                attach(mount, target_fd, target, "dataset")
        except BaseException as error:
            self._discard_view(run)
            if isinstance(error, ZfsFailure):
                raise refusal(error) from error
            raise

    def end_view(self, target: Path, run: Path) -> None:
        """See ``LayerViews.end_view``."""
        noted = self.noted(run)
        if noted is not None:
            table = mounts.mountinfo()
            if self._is_ours(target, run, noted[0], table):
                mounts.unmount(target, table)
            else:
                self._refuse_displaced(target, run, noted[0], table)
            # A clone that is mounted anywhere cannot be destroyed, and says so; a snapshot stays.
            if b"@" in noted[0] and (held := "; ".join(named_copies(*noted, self._mount(run)))):
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
        noted = self.noted(run)
        return noted is not None and self._is_ours(target, run, noted[0], None)

    def held(self, run: Path) -> list[str]:
        """See ``LayerViews.held``.

        All views of one stack are mounts of one snapshot: the mount that was made is told by its
        number, wherever it is now, and its copies in other namespaces by where they are mounted.
        """
        noted = self.noted(run)
        return [] if noted is None else named_copies(*noted, self._mount(run))

    def _mount(self, run: Path) -> int:
        """Return the number of the view's mount, which may have gone and been given again; or 0."""
        try:
            return int((run / _MOUNT).read_bytes() or b"0")
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise from_os_error(error, "looking at view", os.fspath(run)) from error

    def noted(self, run: Path) -> tuple[bytes, bytes] | None:
        """Return what is mounted for the view, and where; None when it was not yet mounted."""
        try:
            source, target, *_ = (run / _SOURCE).read_bytes().split(b"\0")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(error, "looking at view", os.fspath(run)) from error
        return source, target

    def _is_ours(
        self, target: Path, run: Path, source: bytes, table: Sequence[mounts.MountEntry] | None
    ) -> bool:
        try:
            entry = mounts.mount_at(target, table)
        except OSError as error:
            raise from_os_error(error, "looking at", os.fspath(target)) from error
        if entry is None or entry.fstype != "zfs":
            return False
        return entry.source == source or self._is_renamed(run, os.fsdecode(entry.source))

    def _is_renamed(self, run: Path, name: str) -> bool:
        """Whether ``name`` is what the view is a mount of, and somebody has renamed it since.

        The kernel shows the name of now. A view's dataset says of which view it is, and a zfs
        snapshot has its guid for good.
        """
        try:
            if "@" not in name:
                found = self.zfs.properties(name, [VIEW])[VIEW]
                return found is not None and found.value == run.name
            guid = os.fsdecode((run / _SOURCE).read_bytes().split(b"\0")[-1])
            return self.trees.guid(name) == guid
        except ZfsFailure as error:
            if error.errno == errno.ENOENT:
                return False
            raise refusal(error) from error

    def _refuse_displaced(
        self, target: Path, run: Path, source: bytes, table: Sequence[mounts.MountEntry]
    ) -> None:
        """Raise if the view is in this namespace, though not on top of ``target``."""
        number = self._mount(run)
        for entry in table:
            if entry.source == source and (b"@" not in source or entry.id == number):
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
        noted = self.noted(run)
        if noted is not None and b"@" not in noted[0]:
            self._discard_clone(os.fsdecode(noted[0]))
        from layerfs.removal import remove_tree  # noqa: PLC0415 - not needed for a mount

        remove_tree(run)

    def _discard_clone(self, name: str) -> None:
        """Destroy a view's dataset. UnmountFailedError: it is mounted in some namespace."""
        try:
            self.trees.take_away(name)
        except (ZfsFailure, ZFSDatasetDestroyFailedError) as error:
            in_use = "; ".join(named_copies(os.fsencode(name)))
            if isinstance(error, ZFSDatasetDestroyFailedError) and not in_use:
                return
            if isinstance(error, ZfsFailure) and error.errno != errno.EBUSY:
                raise refusal(error) from error
            holder = in_use or f"dataset {name}"
            raise UnmountFailedError(
                f"the dataset {name} of a view is in use: {holder}", holder=holder
            ) from error
