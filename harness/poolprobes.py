"""What a pool of this host can do for layers: found by doing it there, never by its version.

OpenZFS 2.1 on Linux 6.1 and OpenZFS 2.3 on 6.12 differ in all of it. Standard library only and fit
for Python 3.9: it is taken along to the host. Everything is done in a dataset of its own, which is
destroyed again. Sources: zfs-program(8), zpool-features(7), rename(2), ioctl_ficlone(2), and the
kernel's overlayfs page.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from typing import Any, Final

from harness import kernel, probes, zfstool

#: linux/fs.h, and rename(2).
_FICLONE: Final = 0x40049409
_RENAME_WHITEOUT: Final = 4
_SOME: Final = 1 << 20


def facts(pool: str, workdir: str) -> dict[str, Any]:
    """Return what the pool can do, in JSON types; booleans are named for what is possible.

    ``zfs_upperdir_refusal`` says what an overlay with its upperdir on a dataset does not do.
    """
    with _dataset(pool, workdir) as place:
        upper = _attempt(f"{place}/upperdir", _upper_refusal)
        return {
            "zfs_upperdir": not upper,
            "zfs_upperdir_refusal": upper,
            "zfs_rename_whiteout": _can(place, _rename_whiteout),
            "zfs_overlay_trusted_xattrs": not _attempt(f"{place}/opaque", _opaque_refusal),
            "zfs_block_cloning": _can(place, lambda path: _clone(path, pool)),
            "zfs_posix_acl": _can(place, probes.set_acl),
            "zfs_channel_programs": _runs_programs(pool),
            "zfs_inject": shutil.which("zinject") is not None,
        }


@contextlib.contextmanager
def _dataset(pool: str, workdir: str) -> Iterator[str]:
    """Give a place in a new dataset, as an administrator makes one who wants POSIX ACLs."""
    dataset = f"{pool}/probe"
    with probes.scratch_directory(workdir) as place:
        options = ("mountpoint=legacy", "acltype=posixacl")
        zfstool.run("zfs", "create", *(word for one in options for word in ("-o", one)), dataset)
        try:
            kernel.mount(dataset, place, "zfs")
            try:
                yield place
            finally:
                kernel.umount(place)
        finally:
            zfstool.run("zfs", "destroy", "-r", dataset)


def _can(place: str, action: Callable[[str], object]) -> bool:
    """Whether ``action`` succeeds; it is given a path in an empty directory of its own."""
    with probes.scratch_directory(place) as scratch:
        try:
            action(f"{scratch}/probe")
        except OSError:
            return False
    return True


def _attempt(place: str, action: Callable[[str], str]) -> str:
    """Return what ``action``, given a new directory, says of itself, or what refuses it."""
    os.mkdir(place)
    try:
        return action(place)
    except OSError as error:
        path = os.fsdecode(error.filename) if error.filename else ""
        return f"{path.replace(f'{place}/', '') or 'overlay'}: {error.strerror}"


# --- overlays ------------------------------------------------------------------------------------


def _upper_refusal(place: str) -> str:
    """Say what an overlay with its upperdir here does wrong; empty when nothing."""
    for name in ("lower", "lower/d", "upper", "work", "merged"):
        os.mkdir(f"{place}/{name}")
    for name in ("deleted", "renamed", "changed", "d/below"):
        _write(f"{place}/lower/{name}")
    options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"
    with _overlay(place, options) as merged:
        _write(f"{merged}/created")
        os.remove(f"{merged}/deleted")
        if os.path.lexists(f"{merged}/deleted"):
            return "a deleted file is still there"
        whiteout = os.lstat(f"{place}/upper/deleted")
        if not stat.S_ISCHR(whiteout.st_mode) or whiteout.st_rdev != 0:
            return "a deletion is no whiteout"
        os.rename(f"{merged}/renamed", f"{merged}/new")
        if os.path.lexists(f"{merged}/renamed") or not os.path.exists(f"{merged}/new"):
            return "a renamed file is where it was"
        os.chmod(f"{merged}/changed", 0o600)
        os.remove(f"{merged}/changed")
        os.remove(f"{merged}/d/below")
        os.rmdir(f"{merged}/d")
        os.mkdir(f"{merged}/d")  # opaque now
        if os.listdir(f"{merged}/d"):
            return "a directory made anew shows what was in the old one"
        if sorted(os.listdir(merged)) != ["created", "d", "new"]:
            return "the merged directory lists something else"
    return ""


def _opaque_refusal(place: str) -> str:
    """Say why an opaque directory on a dataset does not hide what lies below; empty if it does."""
    for name in ("base", "base/d", "top", "top/d", "merged"):
        os.mkdir(f"{place}/{name}")
    _write(f"{place}/base/d/below")
    os.setxattr(f"{place}/top/d", "trusted.overlay.opaque", b"y")
    with _overlay(place, f"lowerdir={place}/top:{place}/base") as merged:
        return "an opaque directory does not hide" if os.listdir(f"{merged}/d") else ""


@contextlib.contextmanager
def _overlay(place: str, options: str) -> Iterator[str]:
    merged = f"{place}/merged"
    kernel.mount("overlay", merged, "overlay", 0, options)
    try:
        yield merged
    finally:
        kernel.umount(merged)


# --- one thing each ------------------------------------------------------------------------------


def _write(path: str, content: bytes = b"lower") -> None:
    with open(path, "xb") as file:
        file.write(content)


def _rename_whiteout(path: str) -> None:
    _write(path)
    kernel.renameat2(path, f"{path}-new", _RENAME_WHITEOUT)


def _clone(path: str, pool: str) -> None:
    _write(path, os.urandom(_SOME))
    zfstool.run("zpool", "sync", pool)  # only what is on the disk can be cloned
    with open(path, "rb") as source, open(f"{path}-clone", "xb") as clone:
        fcntl.ioctl(clone, _FICLONE, source.fileno())


def _runs_programs(pool: str) -> bool:
    try:
        return "7" in zfstool.run("zfs", "program", "-jn", pool, "-", stdin="return 7\n")
    except OSError:
        return False
