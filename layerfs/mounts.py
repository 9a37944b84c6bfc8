"""Mount overlays, and unmount what is ours; ``mounting`` has what all mounts have in common.

Mounting goes through the new mount API (fsopen(2), fsconfig(2), move_mount(2)) with a ``lowerdir+``
for each layer, Linux 6.5: no page-size limit, nothing to escape, errors from the context's own log.
On older kernels mount(2) takes one string of at most a page. There the layers are opened first,
and named by the numbers of their descriptors, relative to ``/proc/self/fd``: 500 fit into half a
page, whatever their paths are.

Unmounting is never lazy (MNT_DETACH): what is busy stays whole, and the error names who keeps it.

Sources: the kernel's overlayfs and sharedsubtree pages, mount(2), umount(2).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import resource
from collections.abc import Callable, Sequence

from layerfs import syscalls
from layerfs.errors import (
    InvalidMountPointError,
    LimitExceededError,
    MountFailedError,
    PermissionDeniedError,
    UnmountFailedError,
)
from layerfs.holders import copies
from layerfs.holders import holders as _holders
from layerfs.mountinfo import (
    Ids,
    MountEntry,
    boot_id,
    id_map,
    in_init_userns,
    is_mountpoint,
    mount_at,
    mountinfo,
    namespace_alive,
    namespace_id,
)
from layerfs.mounting import REMEDY, attach, closing, opened_target, refused, undo
from layerfs.syscalls import Path

__all__ = [
    "MAX_LOWERDIRS",
    "REMEDY",
    "Ids",
    "MountEntry",
    "NoNewAPIError",
    "allow_descriptors",
    "boot_id",
    "holders",
    "id_map",
    "in_init_userns",
    "is_mountpoint",
    "mount_at",
    "mount_overlay",
    "mountinfo",
    "namespace_alive",
    "namespace_id",
    "open_overlay",
    "options",
    "other_namespaces",
    "unmount",
]

#: OVL_MAX_STACK of fs/overlayfs/params.h: what one overlay takes.
MAX_LOWERDIRS = 500

#: fsconfig(2) refuses a longer string; mount(2) silently cuts its data to a page less one byte.
_MAX_STRING = 255
_MAX_DATA = os.sysconf("SC_PAGE_SIZE") - 1
_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

#: The upperdir stands by itself, and no layer can redirect a lookup: a stored tree may be one of a
#: stranger, and a kernel's or module's default for these is not ours. "nofollow" rather than
#: "off", which is "follow" where the module's redirect_always_follow is set (it is by default).
_SELF_CONTAINED = {"redirect_dir": "nofollow", "metacopy": "off"}


def mount_overlay(
    lowers: Sequence[str | bytes],
    target: Path,
    *,
    upper: str | bytes | None = None,
    work: str | bytes | None = None,
    userxattr: bool = False,
    readonly: bool = False,
    source: str = "overlay",
    new_api: bool | None = None,
) -> None:
    """Mount the overlay of ``lowers``, absolute paths, **top first**, on the directory ``target``.

    ``source`` is what mountinfo shows, at most 255 bytes. ``new_api`` chooses the way; None tries
    the new one first. The mount is private: what is mounted inside of it later, stays in this
    namespace. (Where the mount that holds ``target`` is shared, its peers receive the new mount,
    and lose it at the unmount; the kernel has no way to prevent it.)

    After an error nothing is mounted. Raises LimitExceededError (``max_layers``), checked first;
    InvalidMountPointError (``target`` cannot be opened as a directory; symlinks at its end are not
    followed); PermissionDeniedError; InvalidOverlayError (no overlayfs in this kernel);
    MountFailedError with the kernel's own words.
    """
    if len(lowers) > MAX_LOWERDIRS:
        raise LimitExceededError(
            f"{len(lowers)} lower directories: overlayfs takes at most {MAX_LOWERDIRS}",
            limit=f"max_layers={MAX_LOWERDIRS}",
        )
    settings = options(source, writable=upper is not None)
    flags = (["userxattr"] if userxattr else []) + (["ro"] if readonly else [])
    places = {} if upper is None or work is None else {"upperdir": upper, "workdir": work}
    with opened_target(target) as target_fd:
        if new_api is not False:
            try:
                mount_fd = open_overlay(lowers, places, settings, flags)
            except NoNewAPIError as error:
                if new_api:
                    raise MountFailedError(str(error), path=target) from error
            else:
                with closing(mount_fd):
                    attach(mount_fd, target_fd, target)
                return
        _mount_by_data(lowers, places, settings, flags, (target, target_fd))


def options(source: str, *, writable: bool = False) -> dict[str, str]:
    """Return the options of every overlay of ours, but for its directories and flags."""
    return {"source": source, **_SELF_CONTAINED, **({"index": "off"} if writable else {})}


class NoNewAPIError(Exception):
    """This kernel, or a filter before it, has no fsopen(2) or no ``lowerdir+``."""


def open_overlay(
    lowers: Sequence[str | bytes],
    places: dict[str, str | bytes],
    settings: dict[str, str],
    flags: Sequence[str],
) -> int:
    """Create an overlay by the new mount API; return its mount, attached nowhere, as descriptor.

    It goes with the descriptor. ``places``: upperdir and workdir, or nothing.
    """
    try:
        if _is_legacy():
            raise NoNewAPIError("this kernel's overlayfs has no lowerdir+ (Linux 6.5)")
        context = syscalls.fsopen("overlay")
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise NoNewAPIError("this kernel has no fsopen(2)") from error
        raise refused(error, []) from error
    with closing(context):
        _configure(context, lowers, places, settings, flags)
        try:
            syscalls.fsconfig_create(context)
            attributes = syscalls.MOUNT_ATTR_RDONLY if "ro" in flags else 0
            return syscalls.fsmount(context, attributes)
        except OSError as error:
            raise refused(error, syscalls.context_log(context)) from error


@functools.cache
def _is_legacy() -> bool:
    """Say whether overlayfs knows nothing of contexts, and the kernel stands in for it.

    Then fsconfig(2) takes any parameter, and what overlayfs does not know is an EINVAL of the whole
    mount that says no more (legacy_parse_param in the kernel's fs/fs_context.c). Raises OSError.
    """
    with closing(syscalls.fsopen("overlay")) as context:
        try:
            syscalls.fsconfig_set_string(context, "no-such-parameter", "x")
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return False
    return True


def _configure(
    context: int,
    lowers: Sequence[str | bytes],
    places: dict[str, str | bytes],
    settings: dict[str, str],
    flags: Sequence[str],
) -> None:
    doing = ""
    lower: str | bytes = b""
    try:
        for doing, text in settings.items():
            syscalls.fsconfig_set_string(context, doing, text)
        for doing in flags:
            syscalls.fsconfig_set_flag(context, doing)
        doing = ""
        for lower in lowers:
            _set_directory(context, "lowerdir+", lower)
        for doing, place in places.items():
            _set_directory(context, doing, place)
    except OSError as error:
        doing = doing or f"layer {os.fsdecode(lower)!r}"
        log = syscalls.context_log(context)
        if any("Unknown parameter 'lowerdir+'" in line for line in log):
            raise NoNewAPIError("this kernel's overlayfs has no lowerdir+ (Linux 6.5)") from error
        raise refused(error, log, doing) from error


def _set_directory(context: int, key: str, path: str | bytes) -> None:
    # The kernel takes backslashes of upperdir and workdir for escapes, whatever its page says.
    name = os.fsencode(path)
    if len(name) <= _MAX_STRING and b"\\" not in name:
        syscalls.fsconfig_set_string(context, key, name)
        return
    with closing(os.open(path, _OPEN)) as fd:
        syscalls.fsconfig_set_string(context, key, f"/proc/self/fd/{fd}")


def _mount_by_data(
    lowers: Sequence[str | bytes],
    places: dict[str, str | bytes],
    settings: dict[str, str],
    flags: Sequence[str],
    where: tuple[Path, int],
) -> None:
    target, target_fd = where
    with contextlib.ExitStack() as opened:
        allow_descriptors(len(lowers) + len(places) + 64)
        numbers = []
        for path in [*lowers, *places.values()]:
            try:
                numbers.append(opened.enter_context(closing(os.open(path, _OPEN))))
            except OSError as error:
                raise refused(error, [], f"layer {os.fsdecode(path)!r}") from error
        lowerdir = ":".join(str(number) for number in numbers[: len(lowers)])
        named = zip(places, numbers[len(lowers) :], strict=True)
        words = [f"lowerdir={lowerdir}", *(f"{place}={number}" for place, number in named)]
        words += [f"{key}={value}" for key, value in settings.items() if key != "source"]
        words += [flag for flag in flags if flag != "ro"]
        data = ",".join(words)
        if len(data) > _MAX_DATA:
            raise LimitExceededError(
                f"{len(lowers)} lower directories do not fit into the {_MAX_DATA} bytes "
                "of mount(2), and this kernel has no lowerdir+ (Linux 6.5)",
                limit=f"mount_data={_MAX_DATA}",
            )
        mount_flags = syscalls.MS_RDONLY if "ro" in flags else 0
        place = f"/proc/self/fd/{target_fd}"
        failure = _apart(
            lambda: syscalls.mount(settings["source"], place, "overlay", mount_flags, data)
        )
    if failure is not None:
        raise refused(failure, [], os.fsdecode(target)) from failure
    _settle(target, lowerdir)


def allow_descriptors(more: int) -> None:
    """Raise this process's soft limit, as far as the hard one lets, for ``more`` open files."""
    count = max(map(int, os.listdir("/proc/self/fd"))) + 1 + more
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count and (soft < hard or hard < 0):
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _apart(call: Callable[[], None]) -> OSError | None:
    # The names are relative to /proc/self/fd. A thread with a working directory of its own
    # (unshare(2), CLONE_FS) leaves that of this process alone, and forks nothing.
    import threading  # noqa: PLC0415 - needed on old kernels only

    failure: list[OSError] = []

    def run() -> None:
        try:
            syscalls.unshare(syscalls.CLONE_FS)
            os.chdir("/proc/self/fd")
            call()
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="mount")
    thread.start()
    thread.join()
    return failure[0] if failure else None


def _settle(target: Path, lowerdir: str) -> None:
    # Verified, since mount(2) cuts what does not fit without a word.
    entry = mount_at(target)
    if entry is None:
        raise MountFailedError(f"{os.fsdecode(target)!r} was mounted, and is no more", path=target)
    given = {b"lowerdir=" + lowerdir.encode()}
    given.add(b"".join(b",lowerdir+=" + name.encode() for name in lowerdir.split(":")))
    listed = b"".join(b"," + option for option in entry.super_options if b"lowerdir+" in option)
    if not given & {*entry.super_options, listed}:
        undo(target)
        raise MountFailedError("the kernel did not take all the layers", path=target)
    try:
        syscalls.mount(None, target, None, syscalls.MS_PRIVATE)
    except OSError as error:
        undo(target)
        raise refused(error, [], "making the mount private") from error


def holders(target: Path) -> list[str]:
    """Say who keeps what is mounted on ``target`` busy; empty if nobody is seen, or no mount is.

    See ``layerfs.holders.holders`` for the words.
    """
    entry = mount_at(target)
    return [] if entry is None else _holders(entry)


def other_namespaces(target: Path) -> list[str]:
    """Say in which other namespaces the mount on ``target`` would outlive its unmount here."""
    entry = mount_at(target)
    return [] if entry is None else [str(copy) for copy in copies(entry) if copy.lasting]


def unmount(target: Path, table: Sequence[MountEntry] | None = None) -> bool:
    """Unmount what is topmost on ``target``; never lazily, never through a symlink.

    A mount that another namespace keeps for itself is refused as well: the kernel would let it go
    here, but it would live on there, over directories that the caller is about to delete. Return
    whether there were copies in other namespaces, which should have followed (but need not, where
    they are locked: mount_namespaces(7)).

    ``table`` is ``mountinfo()`` of now, if the caller has it.

    After an error it is mounted as before. Raises InvalidMountPointError (nothing is mounted),
    PermissionDeniedError, UnmountFailedError with the ``holder``.
    """
    known = mountinfo() if table is None else table
    entry = mount_at(target, known)
    shown = repr(os.fsdecode(target))
    if entry is None:
        raise InvalidMountPointError(f"nothing is mounted on {shown}", path=target)
    elsewhere = copies(entry, known)
    if kept := "; ".join(str(copy) for copy in elsewhere if copy.lasting):
        raise UnmountFailedError(f"{shown} is in use: {kept}", path=target, holder=kept)
    try:
        syscalls.umount2(target)
    except OSError as error:
        if error.errno == errno.EBUSY:
            found = "; ".join(_holders(entry))
            told = found or "none of the processes that can be seen here"
            raise UnmountFailedError(
                f"{shown} is in use: {told}", path=target, holder=found or None, errno=error.errno
            ) from error
        if error.errno == errno.EPERM:
            raise PermissionDeniedError(
                f"cannot unmount {shown}; {REMEDY}", path=target, errno=error.errno
            ) from error
        raise UnmountFailedError(
            f"cannot unmount {shown}: {error.strerror}", path=target, errno=error.errno
        ) from error
    return bool(elsewhere)
