"""Delete and measure trees of unknown shape: any depth, any modes, any names.

``shutil.rmtree`` recurses (a RecursionError some thousand directories down), keeps a descriptor
open for each level, and gives up at a directory that its owner may not write. Layers hold all
three. Nothing here follows a symlink or leaves the file system that it started on.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Iterator
from typing import Final

from layerfs.errors import StorageError, from_os_error

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: st_blocks counts these, whatever the file system's own block size (stat(2)).
_BLOCK: Final = 512
#: Others that delete the same tree move directories up, behind our back: then it is listed again.
_ATTEMPTS: Final = 100
#: What tells that a change takes more space than there is; ZFS says so of renames, too.
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
#: What tells that a directory has gone, is not ours to read, or is something else by now.
_ASTRAY: Final = (FileNotFoundError, PermissionError, NotADirectoryError)


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Delete ``path``, whatever it is; nothing there is fine, also when others delete it as well.

    Each directory below is first moved up into ``path`` itself, and so emptied at a depth of one:
    no recursion, two descriptors, no path longer than a name. What remains after an error is
    deleted by another call. Raises StorageError when something is mounted inside (it is left
    alone), PermissionDeniedError, and StorageError for an error of the disk.
    """
    name = os.fspath(path)
    try:
        for attempt in itertools.count(1):
            if _removed(name):
                return
            if attempt == _ATTEMPTS:
                os.rmdir(name)  # says why not
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno in {errno.EBUSY, errno.EXDEV}:
            raise StorageError(
                f"removing {name!r}: something is mounted inside; unmount it, then retry",
                path=name,
                errno=error.errno,
            ) from error
        raise from_os_error(error, "removing", name) from error


def _removed(name: str) -> bool:
    """Delete what is there now; False when somebody put more in meanwhile."""
    try:
        top = _open_directory(name, None)
    except NotADirectoryError:
        os.unlink(name)
        return True
    try:
        _empty(top)
    finally:
        os.close(top)
    return _rmdir(name)


def _rmdir(name: str, dir_fd: int | None = None) -> bool:
    try:
        os.rmdir(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise
    return True


def _open_directory(name: str, dir_fd: int | None) -> int:
    """Open a directory for listing, making it readable if need be; a symlink is ENOTDIR."""
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=dir_fd)
    except PermissionError:
        # O_DIRECTORY fails with EACCES also for a file; chmod follows symlinks, so look first.
        if not stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name) from None
        os.chmod(name, 0o700, dir_fd=dir_fd)
        fd = os.open(name, _DIRECTORY, dir_fd=dir_fd)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name) from error
        raise
    return fd


def _empty(top: int) -> None:
    """Delete all that the directory open as ``top`` holds."""
    device = os.fstat(top).st_dev
    _writable(top)
    fresh = (f".removing-{number}" for number in itertools.count())
    waiting = _clear(top, top, fresh)
    while waiting:
        name = waiting.pop()
        try:
            fd = _open_directory(name, top)
        except FileNotFoundError:
            continue
        try:
            if os.fstat(fd).st_dev != device:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
            _writable(fd)
            waiting += _clear(fd, top, fresh)
        finally:
            os.close(fd)
        _rmdir(name, top)


def _clear(fd: int, top: int, fresh: Iterator[str]) -> list[str]:
    """Unlink the files of a directory, move its directories to ``top``; return their names."""
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    directories: list[str] = []
    for name, is_dir in found:
        try:
            if not is_dir:
                os.unlink(name, dir_fd=fd)
            elif fd == top:
                directories.append(name)
            else:
                directories.append(_moved(name, fd, top, fresh))
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno not in _FULL or not is_dir:
                raise
            _delete_in_place(name, fd)
    return directories


def _delete_in_place(name: str, fd: int) -> None:
    """Delete a directory without moving any, for which a full disk may have no space.

    From ``name`` down again for each directory: two descriptors suffice for any depth.
    """
    device = os.fstat(fd).st_dev
    while _delete_lowest(name, fd, device):
        pass


def _delete_lowest(name: str, fd: int, device: int) -> bool:
    """Delete all files down to a directory without others, and that one; False: it was ``name``."""
    opened = [os.dup(fd)]
    depth = 0
    try:
        while True:
            opened.append(_open_directory(name, opened[-1]))
            lower = _unlink_files(opened[-1], device)
            if lower is None:
                os.rmdir(name, dir_fd=opened[-2])
                break
            name, depth = lower, depth + 1
            os.close(opened.pop(0))
    except FileNotFoundError:  # others delete it as well
        pass
    finally:
        for one in opened:
            os.close(one)
    return depth > 0


def _unlink_files(fd: int, device: int) -> str | None:
    """Unlink what a directory holds, but its directories; return the name of one of those."""
    if os.fstat(fd).st_dev != device:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    _writable(fd)
    directory = None
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_dir in found:
        if is_dir:
            directory = name
        else:
            os.unlink(name, dir_fd=fd)
    return directory


def _moved(name: str, fd: int, top: int, fresh: Iterator[str]) -> str:
    for new in fresh:
        try:
            os.rename(name, new, src_dir_fd=fd, dst_dir_fd=top)
        except PermissionError:
            # Moving a directory rewrites its "..", for which it must be writable itself.
            os.chmod(name, 0o700, dir_fd=fd)
            os.rename(name, new, src_dir_fd=fd, dst_dir_fd=top)
        except OSError as error:
            if error.errno in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                continue  # the layer has a file of that very name
            raise
        return new
    raise AssertionError("itertools.count never ends")


def _writable(fd: int) -> None:
    if os.geteuid() != 0 and os.fstat(fd).st_mode & 0o700 != 0o700:
        os.fchmod(fd, 0o700)


def disk_usage(path: str | os.PathLike[str]) -> int:
    """Return the bytes that ``path`` and all below it take on disk: blocks, hardlinks once.

    What vanishes meanwhile is left out, what may not be read counts as nothing, and where somebody
    puts a symlink in the place of a directory, that is not followed. Paths may have any length.
    """
    from layerfs.ondisk import Descriptors, Directory  # noqa: PLC0415 - not needed to remove

    name = os.fspath(path)
    counted = _Counted()
    pool = Descriptors()
    opened: list[int] = []
    try:
        if not counted.add(os.lstat(name)):
            return counted.bytes
        opened.append(os.open(name, _DIRECTORY))
        waiting = [Directory.root(pool, 0, opened[0])]
        while waiting:
            directory = waiting.pop()
            with contextlib.suppress(*_ASTRAY), os.scandir(directory.fileno()) as entries:
                for entry in entries:
                    try:
                        seen = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if counted.add(seen):
                        waiting.append(Directory(pool, 0, os.fsencode(entry.name), directory))
    except _ASTRAY:
        return counted.bytes
    except OSError as error:
        raise from_os_error(error, "measuring", name) from error
    finally:
        pool.close_all()
        for fd in opened:
            os.close(fd)
    return counted.bytes


class _Counted:
    def __init__(self) -> None:
        self.bytes = 0
        self._linked: set[tuple[int, int]] = set()

    def add(self, seen: os.stat_result) -> bool:
        """Count an inode, once; return whether it is a directory."""
        is_dir = stat.S_ISDIR(seen.st_mode)
        if seen.st_nlink > 1 and not is_dir:
            if (seen.st_dev, seen.st_ino) in self._linked:
                return False
            self._linked.add((seen.st_dev, seen.st_ino))
        self.bytes += seen.st_blocks * _BLOCK
        return is_dir
