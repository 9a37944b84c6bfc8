"""Stores on a file system of their own: one that is small, or a ZFS dataset.

Both are made for a case, with the store's directory on them, and are gone when the context ends.
What of the subject still uses them then fails the case.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from typing import Final

from conformance.driver import Driver
from harness.observe import Host
from harness.subject import Subject
from harness.zfs import ZfsError

_BUSY: Final = "something of the subject still uses the store's file system after close"


class SmallDisk(Driver):
    """A store that has no more space than it was given.

    A store with a dataset has half of that in its directory, and half in the dataset: whatever a
    subject keeps where, what takes twice its size in all does not fit.
    """

    def free(self) -> int:
        """Return the bytes that are free for the store."""
        found = self.host.disk(self.store)["free"]
        return found + (self.host.zfs.space(self.dataset)["available"] if self.dataset else 0)

    def resize(self, mib: int) -> None:
        """Give the store so many MiB, with what is in it."""
        size = share(self, mib)
        disk = os.path.dirname(self.directory)
        done = self.host.run(["mount", "-o", f"remount,size={size}", disk])
        assert done.status == 0, done.stderr.decode(errors="replace")
        if self.dataset:
            self.host.zfs.set(self.dataset, {"quota": size})


def share(driver: Driver, mib: int) -> str:
    """Return what each of the store's places gets of so many MiB, as mount and zfs take it."""
    return f"{mib // 2 if driver.dataset else mib}m"


@contextlib.contextmanager
def on_disk(subject: Subject, host: Host, mib: int) -> Iterator[SmallDisk]:
    """Give an open store on a file system of its own, of so many MiB; take all away."""
    directory = host.tmp("disk")
    case = f"{directory}/case"
    driver = SmallDisk(subject, host, case, f"{case}/store")
    with contextlib.ExitStack() as stack:
        stack.callback(_remove, host, directory)
        stack.push(_still_used)
        stack.enter_context(host.mount_tmpfs(directory, share(driver, mib)))
        host.mkdir(case)
        stack.push(lambda kind, *_: driver.end(failed=kind is not None))
        if driver.dataset:
            host.zfs.create(driver.dataset, {"quota": share(driver, mib)})
        driver.open()
        yield driver


@contextlib.contextmanager
def on_dataset(
    subject: Subject, host: Host, properties: Mapping[str, str] | None = None
) -> Iterator[Driver]:
    """Give an open store whose directory lies on a ZFS dataset of its own; take all away.

    The dataset is as an administrator makes one, with ``properties`` besides.
    """
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(mounted_dataset(host, properties))
        case = host.mkdir(f"{directory}/case")
        driver = Driver(subject, host, case, f"{case}/store")
        stack.push(lambda kind, *_: driver.end(failed=kind is not None))
        driver.open()
        yield driver


@contextlib.contextmanager
def mounted_dataset(host: Host, properties: Mapping[str, str] | None = None) -> Iterator[str]:
    """Give the place where a ZFS dataset of its own is mounted; take both away.

    Whoever has a store there has closed it.
    """
    directory = host.tmp("zfs")
    with contextlib.ExitStack() as stack:
        stack.callback(_remove, host, directory)
        stack.push(_still_used)
        mounted = {"mountpoint": directory, **(properties or {})}
        stack.enter_context(host.zfs.dataset("directory", mounted))
        yield directory


def _remove(host: Host, directory: str) -> None:
    with contextlib.suppress(OSError):  # still in use, which has been said
        host.remove(directory)


def _still_used(_kind: object, error: BaseException | None, _trace: object) -> None:
    """Say what it means that the file system does not go, unless something failed before."""
    if isinstance(error, ZfsError) or (isinstance(error, OSError) and error.errno == errno.EBUSY):
        first = error.__context__
        raise AssertionError(f"{_BUSY}: {error}" if first is None else str(first)) from error
