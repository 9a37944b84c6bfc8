"""Find out what overlays can do on this host, for this user, in this directory: by doing it.

Everything is done in a directory of its own, and the mounts are attached nowhere where the kernel
has the new mount API. A handful of milliseconds.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from layerfs import mounts
from layerfs.backends import Features
from layerfs.errors import InvalidOverlayError, LayerFSError, from_os_error
from layerfs.staging import Staging
from layerfs.syscalls import AT_FDCWD, mount_of

#: setxattr(2) and mknod(2) on a file system, or for a user, that cannot.
_REFUSED = frozenset({errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS})


def environment() -> str:
    """Return what is equal as long as the answers are: boot, id maps, user and capabilities."""
    maps = mounts.id_map()
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        capabilities = next(line.split()[1] for line in file if line.startswith("CapEff:"))
    where = "init" if mounts.in_init_userns() else "user"
    return f"{mounts.boot_id()} {where} {maps.uids} {maps.gids} {os.geteuid()} {capabilities}"


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
            environment=environment(),
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
        mount_id, _ = mount_of(AT_FDCWD, self._place)
        kinds = [entry.fstype for entry in mounts.mountinfo() if entry.id == mount_id]
        raise InvalidOverlayError(
            f"the file system of {os.fspath(self._root)!r} ({kinds[0] if kinds else 'unknown'}) "
            f"has no {what}: {error.strerror}; "
            "put the store on ext4, xfs, btrfs, or tmpfs of Linux 6.6 and later",
            path=self._root,
            errno=error.errno,
        ) from error

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
        """Delete and replace in a writable view; return why that cannot be, or nothing."""
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
            os.unlink(_magic(fd, "emptied/file"))
            os.rmdir(_magic(fd, "emptied"))
            os.mkdir(_magic(fd, "emptied"))
            Path(_magic(fd, "new")).touch()
        except OSError as error:
            return (
                "the file system of the store cannot hold the changes of a writable view: "
                f"{error.strerror}"
            )
        finally:
            self._end(fd, attached=not new_api)
        prefix = "user" if userxattr else "trusted"
        whiteout = os.lstat(os.path.join(self._place, "upper", "gone"))
        marks = os.listxattr(os.path.join(self._place, "upper", "emptied"))
        if not stat.S_ISCHR(whiteout.st_mode) or f"{prefix}.overlay.opaque" not in marks:
            return "a writable view does not keep whiteouts and opaque marks on this file system"
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
