"""The few kernel calls that the harness makes on a host and that ``os`` lacks: typed, by ctypes.

Standard library only and fit for Python 3.9, since the observer takes it along to the host. Every
function raises OSError.
"""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SHARED = 1 << 20

MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_SYS_MOUNT_SETATTR = 442  # the same on every architecture (mount_setattr(2), Linux 5.12)
_MOUNT_ATTR_RDONLY = 1

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttr(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def _check(result: int, path: str | bytes | None = None) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), None if path is None else os.fsdecode(path))


def unshare(flags: int) -> None:
    """Leave the namespaces that ``flags`` name for new ones (unshare(2))."""
    _check(_libc.unshare(ctypes.c_int(flags)))


def prctl(option: int, value: int) -> None:
    """Set one property of this process (prctl(2))."""
    unused = ctypes.c_ulong(0)
    _check(_libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), unused, unused, unused))


def mount(
    source: str | bytes | None,
    target: str | bytes,
    kind: str | None = None,
    flags: int = 0,
    data: str | bytes | None = None,
) -> None:
    """Mount a file system (mount(2))."""
    _check(
        _libc.mount(
            None if source is None else os.fsencode(source),
            os.fsencode(target),
            None if kind is None else kind.encode("ascii"),
            ctypes.c_ulong(flags),
            None if data is None else os.fsencode(data),
        ),
        target,
    )


def umount(target: str | bytes) -> None:
    """Unmount, never lazily, and never through a symlink (umount2(2))."""
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(UMOUNT_NOFOLLOW)), target)


def detach(target: str | bytes) -> None:
    """Take a mount out of the tree though it is in use; for the end of a target, never for a case.

    umount2(2), MNT_DETACH.
    """
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(MNT_DETACH | UMOUNT_NOFOLLOW)), target)


def renameat2(old: str | bytes, new: str | bytes, flags: int) -> None:
    """Rename with flags (rename(2), Linux 3.15)."""
    here = ctypes.c_int(_AT_FDCWD)
    done = _libc.renameat2(here, os.fsencode(old), here, os.fsencode(new), ctypes.c_uint(flags))
    _check(done, old)


def set_readonly(path: str | bytes, *, readonly: bool, recursive: bool) -> None:
    """Make a mount, or with ``recursive`` all below it, read-only or writable again.

    mount_setattr(2); OSError with ENOSYS before Linux 5.12.
    """
    flag = _MOUNT_ATTR_RDONLY
    attributes = _MountAttr(attr_set=flag if readonly else 0, attr_clr=0 if readonly else flag)
    _check(
        _libc.syscall(
            ctypes.c_long(_SYS_MOUNT_SETATTR),
            ctypes.c_int(_AT_FDCWD),
            os.fsencode(path),
            ctypes.c_uint(_AT_RECURSIVE if recursive else 0),
            ctypes.byref(attributes),
            ctypes.c_size_t(ctypes.sizeof(attributes)),
        ),
        path,
    )
