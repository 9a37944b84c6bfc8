"""Find out what overlays can do on this host, for this user, in this directory: by doing it.

Everything is done in a directory of its own, and the mounts are attached nowhere where the kernel
has the new mount API. A handful of milliseconds.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from layerfs import mounts
from layerfs.backends import Features
from layerfs.errors import InvalidOverlayError, LayerFSError, from_os_error
from layerfs.staging import Staging
from layerfs.syscalls import AT_FDCWD, RENAME_WHITEOUT, renameat2

if TYPE_CHECKING:
    from layerfs.filesystems import FileSystem

#: setxattr(2) and mknod(2) on a file system, or for a user, that cannot.
_REFUSED = frozenset({errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS})

#: Two names that are one file where a file system knows more of names than their bytes: what is
#: said of it, and what ``FileSystem.remedy`` calls it. The second pair is é, in NFC and in NFD.
_TWINS = (
    (b"a-name", b"A-NAME", "that differ in case alone", "case"),
    (b"\xc3\xa9", b"e\xcc\x81", "that differ in Unicode normalization alone", "normalization"),
)


def environment(root: Path) -> str:
    """Return what is equal as long as the answers are.

    That is the boot, id maps, user and capabilities, and the file system that ``root`` is on.
    """
    maps = mounts.id_map()
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        capabilities = next(line.split()[1] for line in file if line.startswith("CapEff:"))
    where = "init" if mounts.in_init_userns() else "user"
    disk = f"{os.stat(root).st_dev:x}:{os.statvfs(root).f_fsid:x}"
    return (
        f"{mounts.boot_id()} {where} {maps.uids} {maps.gids} {os.geteuid()} {capabilities} {disk}"
    )


def probe(root: Path) -> Features:
    """Find out what a store in ``root`` can do.

    InvalidOverlayError: its file system cannot hold layers; the message says what lacks.
    WriteFailedError, PermissionDeniedError: ``root`` cannot be written.
    """
    try:
        (root / "staging").mkdir(mode=0o700, exist_ok=True)
        # An operation like all others: what a crash leaves of it, the next open removes.
        with Staging(root / "staging").operation() as operation:
            return _Probe(root, os.fspath(operation.path)).run()
    except OSError as error:
        raise from_os_error(error, "probing", os.fspath(root)) from error


class _Probe:
    def __init__(self, root: Path, place: str) -> None:
        self._root = root
        self._place = place
        self._low = self._made("low")
        self._high = self._made("high")

    def _made(self, name: str) -> str:
        path = os.path.join(self._place, name)
        os.mkdir(path, 0o755)
        return path

    def run(self) -> Features:
        self._fill()
        self._refuse_twins()
        userxattr = self._opaque()
        new_api, mount_lacks = self._mount(userxattr=userxattr)
        upper_lacks = mount_lacks or self._upper(userxattr=userxattr, new_api=new_api)
        return Features(
            userxattr=userxattr,
            squash_ids=not self._owners(),
            drop_privileged_xattrs=userxattr,
            max_layers=mounts.MAX_LOWERDIRS,
            new_mount_api=new_api,
            mount_lacks=mount_lacks,
            upper_lacks=upper_lacks,
            environment=environment(self._root),
        )

    def _fill(self) -> None:
        for name in ("gone", "opaque/hidden", "kept/file", "emptied/file"):
            path = os.path.join(self._low, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            Path(path).touch()
        os.mkdir(os.path.join(self._high, "opaque"))
        try:
            os.mknod(os.path.join(self._high, "gone"), stat.S_IFCHR, os.makedev(0, 0))
        except OSError as error:
            self._refuse(error, "whiteouts (mknod of a character device 0:0)")

    def _opaque(self) -> bool:
        """Mark a directory opaque; return whether it had to be in ``user.overlay.``."""
        path = os.path.join(self._high, "opaque")
        try:
            os.setxattr(path, "trusted.overlay.opaque", b"y")
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
        else:
            return False
        try:
            os.setxattr(path, "user.overlay.opaque", b"y")
        except OSError as error:
            self._refuse(error, "extended attributes (user.overlay.*)")
        return True

    def _refuse(self, error: OSError, what: str) -> None:
        if error.errno not in _REFUSED:
            raise error
        raise self._unfit(f"has no {what}: {error.strerror}", "xattrs", error.errno) from error

    def _refuse_twins(self) -> None:
        """Refuse a file system on which a layer's files, or whiteouts, would meet others."""
        place = os.fsencode(self._made("names"))
        for name, twin, alike, lacks in _TWINS:
            os.close(os.open(os.path.join(place, name), os.O_CREAT | os.O_WRONLY, 0o600))
            if os.path.lexists(os.path.join(place, twin)):
                raise self._unfit(f"takes names {alike} for one", lacks)

    def _unfit(self, why: str, lacks: str, number: int | None = None) -> InvalidOverlayError:
        disk = self._disk()
        return InvalidOverlayError(
            f"the file system of {os.fspath(self._root)!r} ({disk}) {why}; {disk.remedy(lacks)}",
            path=self._root,
            errno=number,
        )

    def _disk(self) -> FileSystem:
        from layerfs.filesystems import file_system_of  # noqa: PLC0415 - for messages only

        return file_system_of(self._place)

    def _owners(self) -> bool:
        """Say whether files can be given to other users and groups."""
        path = os.path.join(self._low, "gone")
        try:
            os.chown(path, 1, 1)
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            return False
        return True

    def _mount(self, *, userxattr: bool) -> tuple[bool, str]:
        """Mount the two layers; return whether by the new API, and why not at all."""
        new_api = True
        try:
            try:
                fd = mounts.open_overlay(
                    [self._high, self._low], {}, mounts.options("probe"), _flags(userxattr)
                )
            except mounts.NoNewAPIError:
                new_api = False
                fd = self._mounted_the_old_way(userxattr=userxattr, writable=False)
        except LayerFSError as error:
            return new_api, error.message
        try:
            shown = set(os.listdir(_magic(fd))) | {
                f"opaque/{name}" for name in os.listdir(_magic(fd, "opaque"))
            }
        finally:
            self._end(fd, attached=not new_api)
        if shown != {"opaque", "kept", "emptied"}:
            wrong = ", ".join(sorted(shown ^ {"opaque", "kept", "emptied"}))
            return new_api, f"overlayfs does not honour its own marks here: {wrong}"
        return new_api, ""

    def _upper(self, *, userxattr: bool, new_api: bool) -> str:
        """Change things in a writable view; return why that cannot be, or nothing."""
        lacks = self._change(userxattr=userxattr, new_api=new_api)
        if not lacks:
            return ""
        disk = self._disk()
        lacks = self._without_whiteouts() or lacks
        return (
            f"the file system of the store ({disk}) cannot be an upperdir: {lacks}; "
            f"{disk.remedy('upperdir')}; read-only stacks work here"
        )

    def _without_whiteouts(self) -> str:
        """Say that a file cannot be renamed and leave a whiteout (rename(2)), if that is so."""
        name = os.path.join(self._low, "renamed")
        Path(name).touch()
        try:
            renameat2(AT_FDCWD, name, AT_FDCWD, f"{name}-too", RENAME_WHITEOUT)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return "it has no RENAME_WHITEOUT"
        return ""

    def _change(self, *, userxattr: bool, new_api: bool) -> str:
        places: dict[str, str | bytes] = {
            "upperdir": self._made("upper"),
            "workdir": self._made("work"),
        }
        try:
            if new_api:
                options = mounts.options("probe", writable=True)
                fd = mounts.open_overlay([self._low], places, options, _flags(userxattr))
            else:
                fd = self._mounted_the_old_way(userxattr=userxattr, writable=True)
        except LayerFSError as error:
            return error.message
        try:
            os.unlink(_magic(fd, "gone"))
            os.rename(_magic(fd, "kept/file"), _magic(fd, "kept/moved"))
            os.unlink(_magic(fd, "emptied/file"))
            os.rmdir(_magic(fd, "emptied"))
            os.mkdir(_magic(fd, "emptied"))
            Path(_magic(fd, "new")).touch()
        except OSError as error:
            return f"a change in a writable view fails ({error.strerror})"
        finally:
            self._end(fd, attached=not new_api)
        prefix = "user" if userxattr else "trusted"
        whiteouts = [os.path.join(self._place, "upper", name) for name in ("gone", "kept/file")]
        marks = os.listxattr(os.path.join(self._place, "upper", "emptied"))
        made = all(stat.S_ISCHR(os.lstat(whiteout).st_mode) for whiteout in whiteouts)
        if not made or f"{prefix}.overlay.opaque" not in marks:
            return "a writable view does not keep whiteouts and opaque marks"
        return ""

    def _mounted_the_old_way(self, *, userxattr: bool, writable: bool) -> int:
        target = os.path.join(self._place, "target")
        os.makedirs(target, exist_ok=True)
        mounts.mount_overlay(
            [self._low] if writable else [self._high, self._low],
            target,
            upper=os.path.join(self._place, "upper") if writable else None,
            work=os.path.join(self._place, "work") if writable else None,
            userxattr=userxattr,
            source="probe",
            new_api=False,
        )
        return os.open(target, os.O_PATH | os.O_CLOEXEC)

    def _end(self, fd: int, *, attached: bool) -> None:
        os.close(fd)
        if attached:
            mounts.unmount(os.path.join(self._place, "target"))


def _flags(userxattr: bool) -> list[str]:  # noqa: FBT001
    return ["userxattr"] if userxattr else []


def _magic(fd: int, name: str = "") -> str:
    return f"/proc/self/fd/{fd}/{name}"
