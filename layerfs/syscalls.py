"""System calls that Python's ``os`` has not: all ctypes of layerfs, typed, in this one module.

Every function raises ``OSError`` with errno and, where there is one, the file name. Nothing here
decides anything: no fall-backs, no cleaning up. What the running kernel does not know raises
``ENOSYS``; callers choose their fall-back from that.

The calls younger than the common glibc go through ``syscall(2)``. Numbers from 424 on are the same
on all architectures (kernel: scripts/syscall.tbl); the few older ones are listed for x86_64 and
aarch64, and elsewhere raise ``ENOSYS``. Descriptors returned are close-on-exec.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import signal
import struct
from typing import Any, Final

# openat2(2): how a path may be resolved.
RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10
#: ``O_PATH`` is missing from no supported Python; named here so that callers read alike.
O_PATH: Final = os.O_PATH

AT_FDCWD: Final = -100
AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_NO_AUTOMOUNT: Final = 0x800
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000

# fsopen(2), fsmount(2), move_mount(2), open_tree(2): linux/mount.h.
FSOPEN_CLOEXEC: Final = 0x01
FSMOUNT_CLOEXEC: Final = 0x01
MOVE_MOUNT_F_EMPTY_PATH: Final = 0x04
MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40
OPEN_TREE_CLONE: Final = 0x01
OPEN_TREE_CLOEXEC: Final = os.O_CLOEXEC
FSCONFIG_SET_FLAG: Final = 0
FSCONFIG_SET_STRING: Final = 1
FSCONFIG_SET_FD: Final = 5
FSCONFIG_CMD_CREATE: Final = 6
FSCONFIG_CMD_RECONFIGURE: Final = 7
MOUNT_ATTR_RDONLY: Final = 0x01
MOUNT_ATTR_NOSUID: Final = 0x02
MOUNT_ATTR_NODEV: Final = 0x04
MOUNT_ATTR_NOEXEC: Final = 0x08
MOUNT_ATTR_NOATIME: Final = 0x10
MOUNT_ATTR_IDMAP: Final = 0x100000

_SYNC_FILE_RANGE_WRITE: Final = 2  # linux/fs.h
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h

# mount(2) and umount2(2).
MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_REMOUNT: Final = 0x20
MS_BIND: Final = 0x1000
MS_MOVE: Final = 0x2000
MS_REC: Final = 0x4000
MS_UNBINDABLE: Final = 1 << 17
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20
MNT_FORCE: Final = 0x1
MNT_DETACH: Final = 0x2
MNT_EXPIRE: Final = 0x4
UMOUNT_NOFOLLOW: Final = 0x8

# setns(2), unshare(2).
CLONE_FS: Final = 0x00000200
CLONE_FILES: Final = 0x00000400
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

# renameat2(2).
RENAME_NOREPLACE: Final = 0x1
RENAME_EXCHANGE: Final = 0x2
RENAME_WHITEOUT: Final = 0x4

_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_FSOPEN = 430
_SYS_FSCONFIG = 431
_SYS_FSMOUNT = 432
_SYS_OPENAT2 = 437
_SYS_MOUNT_SETATTR = 442
_OLD_NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": {"renameat2": 316, "statx": 332},
    "aarch64": {"renameat2": 276, "statx": 291},
}
_SYS_RENAMEAT2 = _OLD_NUMBERS.get(os.uname().machine, {}).get("renameat2", -1)
_SYS_STATX = _OLD_NUMBERS.get(os.uname().machine, {}).get("statx", -1)

#: openat2(2) answers EAGAIN when a rename or mount raced with the walk and it cannot tell whether
#: ".." stayed inside; the page says to try again. Bounded, or a hostile neighbour could hold us.
_RACE_RETRIES = 128

_libc = ctypes.CDLL(None, use_errno=True)
_int = ctypes.c_int
_uint = ctypes.c_uint
_long = ctypes.c_long
_ulong = ctypes.c_ulong
_string = ctypes.c_char_p
_pointer = ctypes.c_void_p
_size = ctypes.c_size_t

Path = str | bytes | os.PathLike[str]


def _syscall(*argtypes: Any) -> Any:
    # Subscription makes a new function object each time, so that each call has its own prototype.
    function = _libc["syscall"]
    function.argtypes = (_long, *argtypes)
    function.restype = _long
    return function


def _function(name: str, *argtypes: Any) -> Any:
    function = _libc[name]
    function.argtypes = argtypes
    function.restype = _int
    return function


_openat2 = _syscall(_int, _string, _string, _size)
_fsopen = _syscall(_string, _uint)
_fsconfig = _syscall(_int, _uint, _string, _string, _int)
_fsmount = _syscall(_int, _uint, _uint)
_move_mount = _syscall(_int, _string, _int, _string, _uint)
_open_tree = _syscall(_int, _string, _uint)
_mount_setattr = _syscall(_int, _string, _uint, _string, _size)
_renameat2 = _syscall(_int, _string, _int, _string, _uint)
_statx = _syscall(_int, _string, _int, _uint, _pointer)
_mount = _function("mount", _string, _string, _string, _ulong, _string)
_umount2 = _function("umount2", _string, _int)
_syncfs = _function("syncfs", _int)
_sync_file_range = _function("sync_file_range", _int, ctypes.c_int64, ctypes.c_int64, _uint)
_prctl = _function("prctl", _int, _ulong, _ulong, _ulong, _ulong)
_setns = _function("setns", _int, _int)
_unshare = _function("unshare", _int)


def _failure(filename: Path | None = None, filename2: Path | None = None) -> OSError:
    number = ctypes.get_errno()
    if filename2 is not None:
        return OSError(number, os.strerror(number), filename, None, filename2)
    return OSError(number, os.strerror(number), filename)


@functools.lru_cache(maxsize=64)
def _open_how(flags: int, mode: int, resolve: int) -> bytes:
    # struct open_how. Cached and immutable: packed once for each combination, safe among threads.
    return struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve)


def openat2(dir_fd: int, path: bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open ``path`` relative to ``dir_fd`` under the ``RESOLVE_*`` limits; return a descriptor.

    Interrupted and raced calls are repeated, the latter up to 128 times (then ``EAGAIN``). Linux
    5.6. ``EXDEV`` and ``ELOOP`` tell that the path would have left, or met a forbidden link.
    """
    how = _open_how(flags, mode, resolve)
    for _ in range(_RACE_RETRIES):
        fd: int = _openat2(_SYS_OPENAT2, dir_fd, path, how, len(how))
        if fd >= 0:
            return fd
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            break
    raise _failure(path)


def fsopen(fstype: str) -> int:
    """Return a new file system context of ``fstype`` (fsopen(2), Linux 5.2)."""
    fd: int = _fsopen(_SYS_FSOPEN, fstype.encode(), FSOPEN_CLOEXEC)
    if fd < 0:
        raise _failure(fstype)
    return fd


def fsconfig_set_flag(fs_fd: int, key: str) -> None:
    """Set a parameter that has no value, such as ``ro`` or ``userxattr`` (fsconfig(2))."""
    if _fsconfig(_SYS_FSCONFIG, fs_fd, FSCONFIG_SET_FLAG, key.encode(), None, 0) < 0:
        raise _failure(key)


def fsconfig_set_string(fs_fd: int, key: str, value: str | bytes) -> None:
    """Set ``key`` to ``value``, at most 255 bytes long (``EINVAL``, with an empty log, if longer).

    A longer path is given by ``fsconfig_set_fd``, or relative to the working directory, which is
    resolved at this call. No separator is special here; in overlayfs's ``lowerdir+`` nothing is at
    all, but in ``upperdir`` and ``workdir`` a backslash still escapes what follows it. ``EINVAL``:
    the file system does not know the key, or refuses the value; ``context_log`` says which.
    """
    text = os.fsencode(value)
    if _fsconfig(_SYS_FSCONFIG, fs_fd, FSCONFIG_SET_STRING, key.encode(), text, 0) < 0:
        raise _failure(value)


def fsconfig_set_fd(fs_fd: int, key: str, fd: int) -> None:
    """Set ``key`` to an open descriptor (overlayfs takes layers so since Linux 6.13)."""
    if _fsconfig(_SYS_FSCONFIG, fs_fd, FSCONFIG_SET_FD, key.encode(), None, fd) < 0:
        raise _failure(key)


def fsconfig_create(fs_fd: int) -> None:
    """Create the superblock from what was set; ``context_log`` explains a failure."""
    if _fsconfig(_SYS_FSCONFIG, fs_fd, FSCONFIG_CMD_CREATE, None, None, 0) < 0:
        raise _failure()


def context_log(fs_fd: int) -> list[str]:
    """Read and empty the message log of a file system context, oldest first.

    Each message keeps the kernel's prefix: ``e `` error, ``w `` warning, ``i `` information. The
    kernel keeps the last eight only (fsopen(2)).
    """
    messages: list[str] = []
    while True:
        try:
            message = os.read(fs_fd, 4096)
        except OSError as error:
            if error.errno == errno.ENODATA:
                return messages
            raise
        if not message:
            return messages
        messages.append(message.decode(errors="backslashreplace").rstrip("\n"))


def fsmount(fs_fd: int, attributes: int = 0) -> int:
    """Return an ``O_PATH`` descriptor of a detached mount of a created context; ``MOUNT_ATTR_*``.

    The mount goes away with the descriptor unless ``move_mount`` attaches it.
    """
    fd: int = _fsmount(_SYS_FSMOUNT, fs_fd, FSMOUNT_CLOEXEC, attributes)
    if fd < 0:
        raise _failure()
    return fd


def move_mount(
    from_fd: int, from_path: Path, to_fd: int, to_path: Path, flags: int = MOVE_MOUNT_F_EMPTY_PATH
) -> None:
    """Attach, or move, a mount (move_mount(2)).

    By default ``from_path`` may be empty, so that ``from_fd`` is itself the mount from
    ``fsmount`` or ``open_tree``. Symlinks at the end of ``to_path`` are not followed.
    """
    source, target = os.fsencode(from_path), os.fsencode(to_path)
    if _move_mount(_SYS_MOVE_MOUNT, from_fd, source, to_fd, target, flags) < 0:
        raise _failure(to_path)


def open_tree(dir_fd: int, path: Path, flags: int = 0) -> int:
    """Return a descriptor of the mount at ``path``; with ``OPEN_TREE_CLONE`` a detached bind of it.

    ``AT_RECURSIVE`` (with clone), ``AT_EMPTY_PATH``, ``AT_SYMLINK_NOFOLLOW`` as open_tree(2).
    """
    fd: int = _open_tree(_SYS_OPEN_TREE, dir_fd, os.fsencode(path), flags | OPEN_TREE_CLOEXEC)
    if fd < 0:
        raise _failure(path)
    return fd


def mount_setattr(
    dir_fd: int,
    path: Path,
    flags: int = 0,
    *,
    attr_set: int = 0,
    attr_clr: int = 0,
    propagation: int = 0,
    userns_fd: int = 0,
) -> None:
    """Change ``MOUNT_ATTR_*`` or propagation (``MS_PRIVATE``…) of a mount (Linux 5.12).

    ``flags``: ``AT_EMPTY_PATH`` when ``dir_fd`` is the mount, ``AT_RECURSIVE`` for the whole tree.
    """
    attributes = struct.pack("=QQQQ", attr_set, attr_clr, propagation, userns_fd)
    where = os.fsencode(path)
    if _mount_setattr(_SYS_MOUNT_SETATTR, dir_fd, where, flags, attributes, len(attributes)) < 0:
        raise _failure(path)


def mount(
    source: Path | None,
    target: Path,
    fstype: str | None = None,
    flags: int = 0,
    data: str | bytes | None = None,
) -> None:
    """Make, bind, move or remount a mount the old way.

    The kernel silently cuts ``data`` at one page less a byte: the caller checks its length.
    """
    if (
        _mount(
            None if source is None else os.fsencode(source),
            os.fsencode(target),
            None if fstype is None else fstype.encode(),
            flags,
            None if data is None else os.fsencode(data),
        )
        < 0
    ):
        raise _failure(target)


def umount2(target: Path, flags: int = UMOUNT_NOFOLLOW) -> None:
    """Unmount as umount(2) says; by default a symlink at the end of ``target`` is not followed."""
    if _umount2(os.fsencode(target), flags) < 0:
        raise _failure(target)


def syncfs(fd: int) -> None:
    """Write all of the file system that holds ``fd`` to its device (syncfs(2)); not ``O_PATH``.

    Since Linux 5.8 a write-back error since the descriptor was opened is reported (``EIO``,
    ``ENOSPC``), so open the descriptor before the writes that it shall answer for.
    """
    if _syncfs(fd) < 0:
        raise _failure()


def write_back(fd: int) -> None:
    """Have the disk begin with what was written to a file so far (sync_file_range(2)).

    Waits for nothing and promises nothing: it spares a later sync the work.
    """
    if _sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE) < 0:
        raise _failure()


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends (PR_SET_PDEATHSIG(2const)).

    It may have ended before: compare os.getppid() afterwards.
    """
    if _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) < 0:
        raise _failure()


def setns(fd: int, kinds: int = 0) -> None:
    """Enter the namespace of ``fd`` (``CLONE_NEW*``, or 0 for any); the calling thread only."""
    if _setns(fd, kinds) < 0:
        raise _failure()


def unshare(kinds: int) -> None:
    """Leave the shared namespaces named by ``CLONE_NEW*``; the calling thread only.

    ``CLONE_FS``: the shared working directory; ``CLONE_FILES``: the shared table of descriptors.

    ``CLONE_NEWUSER`` and ``CLONE_NEWNS`` need a process without other threads sharing its state
    (``EINVAL``).
    """
    if _unshare(kinds) < 0:
        raise _failure()


def renameat2(old_dir_fd: int, old: Path, new_dir_fd: int, new: Path, flags: int = 0) -> None:
    """Rename under ``RENAME_NOREPLACE`` (``EEXIST`` when there) or ``RENAME_EXCHANGE``.

    Both names are relative to their descriptors; use ``AT_FDCWD`` for the working directory.
    ``EINVAL``: the file system does not know the flag.
    """
    names = os.fsencode(old), os.fsencode(new)
    if _renameat2(_SYS_RENAMEAT2, old_dir_fd, names[0], new_dir_fd, names[1], flags) < 0:
        raise _failure(old, new)


_STATX_MNT_ID = 0x1000
_STATX_ATTR_MOUNT_ROOT = 0x2000


def mount_of(dir_fd: int, path: Path, flags: int = AT_SYMLINK_NOFOLLOW) -> tuple[int, bool]:
    """Return the mount id of ``path`` (as in mountinfo) and whether it is that mount's root.

    statx(2) with ``STATX_MNT_ID``, Linux 5.8. With an empty path and ``AT_EMPTY_PATH`` it is
    ``dir_fd`` itself that is asked. Nothing is automounted.
    """
    buffer = ctypes.create_string_buffer(256)  # struct statx
    where = os.fsencode(path)
    flags |= AT_NO_AUTOMOUNT
    if _statx(_SYS_STATX, dir_fd, where, flags, _STATX_MNT_ID, buffer) < 0:
        raise _failure(path)
    mask, _, attributes = struct.unpack_from("=IIQ", buffer)
    (mount_id,) = struct.unpack_from("=Q", buffer, 144)
    if not mask & _STATX_MNT_ID:
        raise OSError(errno.ENOSYS, "this kernel does not tell mount ids", path)
    return mount_id, bool(attributes & _STATX_ATTR_MOUNT_ROOT)
