"""Extract a layer for the overlay backend, and note what its views will have to know of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from layerfs.apply import ApplyOptions, apply
from layerfs.backends.marks import Marks
from layerfs.backends.shim import reached
from layerfs.errors import from_os_error
from layerfs.whiteout import OPAQUE, PREFIX

if TYPE_CHECKING:
    from layerfs.tarstream import Member, TarReader

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Watched:
    """A reader of which it is known afterwards whether the layer had whiteouts."""

    def __init__(self, reader: TarReader) -> None:
        self._reader = reader
        self.whiteouts = False

    def __iter__(self) -> Iterator[Member]:
        for member in self._reader:
            base = member.name.rpartition(b"/")[2]
            if base.startswith(PREFIX) and base != OPAQUE:
                self.whiteouts = True
            yield member

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


def extract(reader: TarReader, diff: Path, options: ApplyOptions) -> Marks:
    """Extract a layer into the directory ``diff``, which is made; return what to note of it.

    Raises what ``apply`` raises; what was extracted remains then.
    """
    watched = _Watched(reader)
    try:
        diff.mkdir(mode=0o700)
        fd = os.open(diff, _DIRECTORY)
    except OSError as error:
        raise from_os_error(error, "extracting into", os.fspath(diff)) from error
    try:
        report = apply(cast("TarReader", watched), fd, options=options)
    finally:
        os.close(fd)
    try:
        whiteouts = frozenset(_with_whiteouts(os.fspath(diff)) if watched.whiteouts else ())
    except OSError as error:
        raise from_os_error(error, "reading back") from error
    return Marks(frozenset(report.implicit), whiteouts - {b"."}, report.opaque_root)


def _with_whiteouts(diff: str) -> Iterator[bytes]:
    """Yield the directories that hold whiteouts. Found on disk: a name may go through symlinks."""
    waiting = [b"."]
    while waiting:
        path = waiting.pop()
        with reached(diff, path) as (above, name):
            fd = _open_readable(name, above)
        try:
            with os.scandir(fd) as entries:
                found = list(entries)
            below = b"" if path == b"." else path + b"/"
            waiting += [
                below + os.fsencode(entry.name)
                for entry in found
                if entry.is_dir(follow_symlinks=False)
            ]
            if any(_is_whiteout(entry) for entry in found if _is_special(entry)):
                yield path
        finally:
            os.close(fd)


def _open_readable(name: bytes, above: int | None) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=above)
    except PermissionError:
        # An ordinary user cannot read a directory of their own with mode 0 and the like.
        mode = stat.S_IMODE(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
        os.chmod(name, 0o700, dir_fd=above)
        try:
            return os.open(name, _DIRECTORY, dir_fd=above)
        finally:
            os.chmod(name, mode, dir_fd=above)


def _is_special(entry: os.DirEntry[str]) -> bool:
    return not (
        entry.is_dir(follow_symlinks=False)
        or entry.is_file(follow_symlinks=False)
        or entry.is_symlink()
    )


def _is_whiteout(entry: os.DirEntry[str]) -> bool:
    status = entry.stat(follow_symlinks=False)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
