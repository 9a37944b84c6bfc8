"""Operations in progress: each has a directory, a lock that says it lives, and an intent.

``staging/<operation>/`` holds all that an operation writes before it is visible. ``lock`` in it is
held by flock(2) as long as the operation lives: the kernel lets go of it however the process ends,
so that a directory whose lock can be taken belongs to nobody. ``intent.json`` says what the
operation was about to change outside its directory; ``recovery`` undoes or finishes that.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from layerfs.blobstore import sync_directory
from layerfs.errors import MetadataError, from_os_error
from layerfs.removal import remove_tree
from layerfs.syscalls import syncfs

_INTENT: Final = "intent.json"
_LOCK: Final = "lock"


def _nothing() -> None:
    pass


class Operation:
    """One operation's directory, locked by this process."""

    def __init__(
        self,
        path: Path,
        lock: int,
        before_sync: Callable[[], None] = _nothing,
        *,
        intended: bool = True,
    ) -> None:
        self.path = path
        self._before_sync = before_sync
        self._lock = lock
        self._keep = False
        self._intended = intended  # there may be an intent

    @property
    def id(self) -> str:
        """A name that no other operation has, had, or will have."""
        return self.path.name

    @property
    def blob(self) -> Path:
        """Where the operation writes a blob."""
        return self.path / "blob"

    @property
    def tree(self) -> Path:
        """Where the backend extracts a layer; made by ``new_tree``."""
        return self.path / "tree"

    def new_tree(self) -> Path:
        """Make an empty ``tree``; a former one is deleted."""
        remove_tree(self.tree)
        self._make(self.tree)
        return self.tree

    @property
    def trash(self) -> Path:
        """A directory for what shall be deleted: renamed to under a lock, deleted without."""
        path = self.path / "trash"
        self._make(path)
        return path

    def empty_trash(self) -> None:
        """Delete the trash now; raises what ``remove_tree`` raises, and leaves it to recovery."""
        try:
            remove_tree(self.path / "trash")
        except BaseException:
            self.leave_to_recovery()
            raise

    def _make(self, path: Path) -> None:
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise from_os_error(error, "preparing", str(path)) from error

    def intend(self, kind: str, *, durable: bool = False, **facts: Any) -> None:
        """Write down what is about to be changed, replacing what was written before.

        ``durable``: it has survived a power cut when this returns. Otherwise the caller's
        ``sync`` makes it so, or a reboot undoes all of it anyway (mounts).
        """
        self._intended = True
        staged = self.path / "intent.new"
        try:
            with open(staged, "wb") as file:
                file.write(json.dumps({"kind": kind, **facts}).encode("ascii"))
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.rename(staged, self.path / _INTENT)
            if durable:
                sync_directory(self.path)
                sync_directory(self.path.parent)
        except OSError as error:
            raise from_os_error(error, "writing", str(staged)) from error

    def intent(self) -> dict[str, Any] | None:
        """Return what was written down, or None. MetadataError: it cannot be read."""
        path = self.path / _INTENT
        try:
            intent = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(error, "reading", str(path)) from error
        except ValueError:
            intent = None
        if not isinstance(intent, dict):
            # Renamed whole, so only a damaged disk can have done this.
            raise MetadataError(
                f"{str(path)!r} is damaged; delete its directory, then run `layerfs repair`",
                path=path,
            )
        return intent

    def settle(self) -> None:
        """Forget the intent: what was intended is done, and recovery must not undo it."""
        if not self._intended:
            return
        try:
            (self.path / _INTENT).unlink(missing_ok=True)
        except OSError as error:
            raise from_os_error(error, "removing", str(self.path / _INTENT)) from error
        self._intended = False

    def leave_to_recovery(self) -> None:
        """Keep the directory when the operation ends, so that the next open finishes it."""
        self._keep = True

    def sync(self) -> None:
        """Make all that was written to the store's file system durable (syncfs(2)).

        The descriptor is as old as the operation, so that an error of writing back is reported.
        """
        self._before_sync()
        try:
            syncfs(self._lock)
        except OSError as error:
            raise from_os_error(error, "syncing", str(self.path)) from error

    def end(self) -> None:
        """Delete the directory and let go of the lock; safe to call twice."""
        if self._lock < 0:
            return
        try:
            if not self._keep:
                self.settle()
                self._remove()
        finally:
            os.close(self._lock)
            self._lock = -1

    def _remove(self) -> None:
        try:
            os.unlink(self.path / _LOCK)
            os.rmdir(self.path)
        except OSError:  # the usual one has nothing else in it
            remove_tree(self.path)


class Staging:
    """The ``staging`` directory of a store; ``before_sync`` is called before each syncfs(2)."""

    def __init__(self, path: Path, before_sync: Callable[[], None] = _nothing) -> None:
        self.path = path
        self._before_sync = before_sync

    @contextmanager
    def operation(self) -> Iterator[Operation]:
        """Begin an operation; however the block ends, its directory is gone afterwards."""
        operation = self._begin()
        try:
            yield operation
        finally:
            operation.end()

    def _begin(self) -> Operation:
        path = self.path / os.urandom(8).hex()
        try:
            # Shared with other beginners, never with a recovery: it must not find a directory
            # whose lock is not yet taken.
            with self._guard(fcntl.LOCK_SH):
                path.mkdir(mode=0o700)
                try:
                    lock = _take(path)
                except BaseException:
                    remove_tree(path)
                    raise
        except OSError as error:
            raise from_os_error(error, "beginning an operation in", str(self.path)) from error
        assert lock is not None, "nobody else knows its name"
        return Operation(path, lock, self._before_sync, intended=False)

    def dead(self) -> list[Operation]:
        """Take over the operations whose process has died; the caller ends each of them."""
        try:
            if not os.listdir(self.path):  # the usual case, without a lock
                return []
            with self._guard(fcntl.LOCK_EX):
                return [
                    Operation(path, lock, self._before_sync)
                    for path in sorted(self.path.iterdir())
                    if (lock := _take(path)) is not None
                ]
        except OSError as error:
            raise from_os_error(error, "looking for dead operations in", str(self.path)) from error

    def alive(self, identity: str) -> bool:
        """Say whether an operation is going on in some process (this one included)."""
        try:
            # For reading: a store that is only read is asked as well.
            fd = os.open(self.path / identity / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise from_os_error(error, "looking at operation", identity) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def remains(self) -> list[str]:
        """Return the names in the directory that are of no living operation."""
        try:
            with self._guard(fcntl.LOCK_EX):
                return [name for name in sorted(os.listdir(self.path)) if not self.alive(name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise from_os_error(error, "listing", str(self.path)) from error

    @contextmanager
    def _guard(self, how: int) -> Iterator[None]:
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, how)
            yield
        finally:
            os.close(fd)


def _take(path: Path) -> int | None:
    """Return a descriptor that holds the operation's lock; None: it is held, or has gone."""
    try:
        fd = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the store's lock file: one process (and one object in it) at a time; not re-entrant."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except BaseException:
            os.close(fd)
            raise
    except OSError as error:
        raise from_os_error(error, "locking", str(path)) from error
    try:
        yield
    finally:
        os.close(fd)
