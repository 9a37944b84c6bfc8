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

from layerfs import mounts
from layerfs.backends import Contents
from layerfs.backends.zfschains import PROPERTIES, SNAPSHOT, ZfsChains
from layerfs.errors import UnmountFailedError, ZFSDatasetDestroyFailedError, from_os_error
from layerfs.holders import named_copies
from layerfs.mounting import attach, closing, open_dataset, opened_target
from layerfs.zfs import ZfsFailure, refusal

VIEW: Final = "layerfs:view"
#: Of a view's directory: the dataset or snapshot that is mounted, a NUL, and the target.
_SOURCE: Final = "source"


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
        source = f"{self.trees.dataset}/view-{run.name}" if writable else f"{top}@{SNAPSHOT}"
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
        noted = self.noted(run)
        if noted is not None:
            table = mounts.mountinfo()
            if self._is_ours(target, noted[0], table):
                mounts.unmount(target, table)
            elif noted[0].find(b"@") < 0:
                self._refuse_displaced(target, noted[0], table)
            # A clone that is mounted anywhere cannot be destroyed, and says so; a snapshot stays.
            if b"@" in noted[0] and (held := "; ".join(named_copies(*noted))):
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
        return noted is not None and self._is_ours(target, noted[0], None)

    def held(self, run: Path) -> list[str]:
        """See ``LayerViews.held``; copies of a read-only view are told by where they are mounted.

        All views of one stack are mounts of one snapshot.
        """
        noted = self.noted(run)
        return [] if noted is None else named_copies(*noted)

    def noted(self, run: Path) -> tuple[bytes, bytes] | None:
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
