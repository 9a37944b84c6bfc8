"""What this host can do for overlayfs, ownership and devices: found by doing, never by guessing.

Each probe works in a directory of its own below the one it is given, and leaves nothing behind.
Standard library only and fit for Python 3.9, since the observer takes it along to the host.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from harness import kernel

#: What a probe for any owner uses: not root, and inside every sensible id range.
_SOME_ID = 1000
#: linux/posix_acl_xattr.h: version 2; the owner rwx, user 0 r-x, the group r-x, mask r-x, others -.
_ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, who)
    for tag, permissions, who in (
        (0x01, 7, 0xFFFFFFFF), (0x02, 5, 0), (0x04, 5, 0xFFFFFFFF), (0x10, 5, 0xFFFFFFFF),
        (0x20, 0, 0xFFFFFFFF),
    )
)  # fmt: skip


def facts(workdir: str) -> dict[str, Any]:
    """Return everything about this host that a case may need, in JSON types.

    Booleans are named for what is possible; ``uid_map`` and ``gid_map`` are lists of (inside,
    outside, count); ``capabilities`` the effective set as a hexadecimal number.
    """
    system = os.uname()
    status = _status()
    refusal = overlay_refusal(workdir)
    return {
        "kernel": system.release,
        "machine": system.machine,
        "distribution": _distribution(),
        "uid": os.geteuid(),
        "gid": os.getegid(),
        "uid_map": _id_map("uid_map"),
        "gid_map": _id_map("gid_map"),
        "capabilities": status["CapEff"],
        "init_user_namespace": in_init_user_namespace(),
        "can_mknod_device": _can(workdir, _make_device),
        "can_mknod_whiteout": _can(workdir, _make_whiteout),
        "can_chown_ids": _can(workdir, _change_owner),
        "can_hardlink": _can(workdir, _make_hardlink),
        "trusted_xattrs": _can(workdir, _set_xattr("trusted.layerfs_probe")),
        "user_xattrs": _can(workdir, _set_xattr("user.layerfs_probe")),
        "file_capabilities": _can(workdir, _set_file_capability),
        "posix_acl": _can(workdir, set_acl),
        "mount_tmpfs": _can(workdir, _mount_tmpfs),
        "overlay": refusal is None,
        "overlay_refusal": refusal or "",
        "gnu_tar": "GNU tar" in _version_of("tar"),
        "umoci": _version_of("umoci") != "",
        "skopeo": _version_of("skopeo") != "",
        "selinux": os.path.exists("/sys/fs/selinux/enforce"),
    }


def _distribution() -> str:
    """Return what this system calls itself (os-release(5)); empty when it does not say."""
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip("\"'")
    return ""


def in_init_user_namespace() -> bool:
    """Whether this process is in the machine's first user namespace (user_namespaces(7))."""
    return _id_map("uid_map") == [[0, 0, 4294967295]]


def overlay_refusal(workdir: str) -> str | None:
    """Say why overlayfs does not work with its directories below ``workdir``; None when it does.

    All that layers need is tried: a whiteout made by hand and one by the kernel, an opaque
    directory, a copy-up, on lower and upper directories in this very file system.
    """
    with scratch_directory(workdir) as scratch:
        for name in ("lower", "upper", "work", "merged", "base", "base/d", "lower/d"):
            os.mkdir(f"{scratch}/{name}")
        for name in ("base/gone", "base/hidden", "base/d/below", "lower/changed"):
            with open(f"{scratch}/{name}", "w", encoding="ascii") as file:
                file.write("lower")
        namespace = "trusted" if in_init_user_namespace() else "user"
        try:
            os.mknod(f"{scratch}/lower/hidden", stat.S_IFCHR, 0)
            os.setxattr(f"{scratch}/lower/d", f"{namespace}.overlay.opaque", b"y")
            _overlay(scratch, userxattr=namespace == "user")
        except OSError as error:
            return f"{_step(error, scratch)}: {error.strerror}"
        try:
            return _use_overlay(f"{scratch}/merged")
        except OSError as error:
            return f"{_step(error, scratch)}: {error.strerror}"
        finally:
            kernel.umount(f"{scratch}/merged")


def unfit(workdir: str) -> str | None:
    """Say why stores cannot be held to what layers need below ``workdir``; None when they can.

    Besides overlayfs that is attributes of the user's, which tmpfs has since Linux 6.6.
    """
    if not _can(workdir, _set_xattr("user.layerfs_probe")):
        return "user attributes: they are not supported"
    return overlay_refusal(workdir)


def _overlay(scratch: str, *, userxattr: bool) -> None:
    options = f"lowerdir={scratch}/lower:{scratch}/base,upperdir={scratch}/upper"
    options += f",workdir={scratch}/work"
    kernel.mount(
        "overlay", f"{scratch}/merged", "overlay", 0, options + (",userxattr" if userxattr else "")
    )


def _use_overlay(merged: str) -> str | None:
    """Return what is wrong with the merged view, if anything."""
    if os.path.lexists(f"{merged}/hidden"):
        return "a whiteout does not hide"
    if os.listdir(f"{merged}/d"):
        return "an opaque directory does not hide"
    with open(f"{merged}/changed", "a", encoding="ascii") as file:
        file.write("upper")
    os.remove(f"{merged}/gone")
    if os.path.lexists(f"{merged}/gone"):
        return "a deleted file is still there"
    return None


def _step(error: OSError, scratch: str) -> str:
    path = os.fsdecode(error.filename) if error.filename else ""
    return path.replace(f"{scratch}/", "") or "overlay"


def _version_of(tool: str) -> str:
    """Return what a tool says of itself; empty when there is none."""
    try:
        done = subprocess.run([tool, "--version"], stdout=subprocess.PIPE, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.decode(errors="replace")


# --- one thing each ------------------------------------------------------------------------------


def _can(workdir: str, action: Callable[[str], None]) -> bool:
    """Whether ``action`` succeeds; it is given a path in an empty directory of its own."""
    with scratch_directory(workdir) as scratch:
        try:
            action(f"{scratch}/probe")
        except OSError:
            return False
    return True


def _touch(path: str) -> None:
    with open(path, "x", encoding="ascii"):
        pass


def _make_device(path: str) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


def _make_whiteout(path: str) -> None:
    os.mknod(path, stat.S_IFCHR, 0)


def _change_owner(path: str) -> None:
    _touch(path)
    os.chown(path, _SOME_ID, _SOME_ID)


def _make_hardlink(path: str) -> None:
    _touch(path)
    os.link(path, f"{path}2")


def _set_xattr(name: str) -> Callable[[str], None]:
    def action(path: str) -> None:
        _touch(path)
        os.setxattr(path, name, b"value")

    return action


def _set_file_capability(path: str) -> None:
    """Set cap_net_raw+ep, in the form that names no user namespace (capabilities(7), version 2)."""
    _touch(path)
    os.setxattr(path, "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))


def set_acl(path: str) -> None:
    """Make a file with a POSIX access control list (acl(5))."""
    _touch(path)
    os.setxattr(path, "system.posix_acl_access", _ACL)


def _mount_tmpfs(path: str) -> None:
    os.mkdir(path)
    kernel.mount("tmpfs", path, "tmpfs")
    kernel.umount(path)


# --- reading /proc -------------------------------------------------------------------------------


def _status() -> dict[str, str]:
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


def _id_map(name: str) -> list[list[int]]:
    with open(f"/proc/self/{name}", encoding="ascii") as file:
        return [[int(number) for number in line.split()] for line in file]


@contextlib.contextmanager
def scratch_directory(workdir: str) -> Iterator[str]:
    """Give an empty directory below ``workdir``, and remove it."""
    place = tempfile.mkdtemp(prefix="probe-", dir=workdir)
    try:
        yield place
    finally:
        shutil.rmtree(place)
