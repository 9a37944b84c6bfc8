"""The stores that one process has open, so that a session opens each of them once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from layerfs.errors import StorageError

if TYPE_CHECKING:
    from layerfs.limits import Limits
    from layerfs.store import LayerFS

Progress = Callable[[int, int | None], None]


class Stores:
    """The stores that one process has open, each opened by the first request that names it.

    ``readonly`` opens them without a change, ``limits`` bound the layers that they read; a request
    may ask either of one store. ``progress`` is
    called during long reads with bytes done, and bytes in all if known. ``close`` lets go of all,
    and leaves what is mounted as it is.
    """

    def __init__(
        self,
        *,
        readonly: bool = False,
        limits: Limits | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._readonly = readonly
        self._limits = limits
        self.progress = progress
        self._open: dict[str, tuple[tuple[int, int], LayerFS]] = {}

    def get(self, root: str, *, recover: bool = False) -> LayerFS:
        """Return the store at ``root``. StorageError if there is none; otherwise as LayerFS.open.

        ``recover`` is for repair: it opens a store with a damaged database too.
        """
        key = os.path.realpath(root)
        known = self._open.get(key)
        identity = _identity(key)
        if known is not None and known[0] == identity:
            return known[1]
        if identity is None:
            self._forget(key)
            raise StorageError(
                f"no store at {root!r}: create it with `layerfs init`, the verb open", path=root
            )
        return self._opened(key, readonly=self._readonly, recover=recover, limits=self._limits)

    def open(
        self, root: str, *, readonly: bool, limits: Limits | None = None, zfs: str | None = None
    ) -> LayerFS:
        """Create or recover the store at ``root``, also one that is open here already."""
        return self._opened(
            os.path.realpath(root),
            readonly=readonly or self._readonly,
            limits=limits or self._limits,
            zfs=zfs,
        )

    def end(self, root: str) -> None:
        """Unmount all views of the store in this mount namespace, and let go of it.

        UnmountFailedError: a view is busy; the store stays open, and a retry may succeed.
        """
        store = self.get(root)
        key = os.path.realpath(root)
        if store.readonly and store.mounts():  # made by others, who may change it
            store = self._opened(key, readonly=False)
        if not store.readonly:
            store.close_all_views()
        self._forget(key)

    def close(self) -> None:
        """Let go of all stores; what they have mounted stays mounted."""
        for key in list(self._open):
            self._forget(key)

    def _opened(
        self,
        key: str,
        *,
        readonly: bool,
        recover: bool = False,
        limits: Limits | None = None,
        zfs: str | None = None,
    ) -> LayerFS:
        from layerfs.store import LayerFS  # noqa: PLC0415 - `--help` and bad requests need no store

        self._forget(key)
        store = LayerFS.open(key, zfs, readonly=readonly, recover=recover, limits=limits)
        # A store that was replaced meanwhile, under the same name, must not be mistaken for it.
        self._open[key] = (_identity(key) or (0, 0), store)
        return store

    def _forget(self, key: str) -> None:
        known = self._open.pop(key, None)
        if known is not None:
            known[1].close(unmount=False)


@contextmanager
def stores(
    *, readonly: bool = False, limits: Limits | None = None, progress: Progress | None = None
) -> Iterator[Stores]:
    """Have Stores, and let go of all that it opened at the end; what is mounted stays."""
    opened = Stores(readonly=readonly, limits=limits, progress=progress)
    try:
        yield opened
    finally:
        opened.close()


def _identity(root: str) -> tuple[int, int] | None:
    """Return device and inode of the store's database; None where there is no store."""
    try:
        found = os.stat(os.path.join(root, "layerfs.db"))
    except OSError:
        return None  # LayerFS.open says why, where it is asked to open one
    return found.st_dev, found.st_ino
