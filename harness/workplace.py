"""The directory that a target lives in: made, locked while it lives, swept when nobody keeps it.

It lies in a directory for temporary files, belongs to one target, and holds the work directory, on
which a file system may be mounted, and what pools lie on (:mod:`harness.pools`). Whoever holds the
lock on it (flock(2)) is alive.
Standard library only and fit for Python 3.9: :mod:`harness.relay` takes it along to a host.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import signal
import tempfile

from harness import census, kernel, pools, treewalk

PREFIX = "layerfs-target-"
_WORK = "work"


def work(directory: str) -> str:
    """Return the path of the work directory in a target's directory."""
    return os.path.join(directory, _WORK)


def make(parent: str) -> tuple[str, int]:
    """Make a directory below ``parent``; return it and a descriptor that holds its lock.

    Raises OSError.
    """
    while True:
        directory = os.path.realpath(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        descriptor = lock(directory)
        if descriptor is not None:
            os.chmod(directory, 0o711)  # noqa: S103 - what is below it shall be reached by any user
            os.mkdir(work(directory))
            return directory, descriptor


def lock(directory: str) -> int | None:
    """Return a descriptor that holds the directory's lock; None when another has it, or it."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(directory, follow_symlinks=False)):
            return descriptor
    except OSError:  # locked by its keeper, or swept away in between
        pass
    os.close(descriptor)
    return None


def sweep(parent: str) -> None:
    """Remove our own directories below ``parent`` whose keeper was killed before it could."""
    for directory in glob.glob(f"{glob.escape(parent)}/{PREFIX}*"):
        # Another run ends, or sweeps, at the same time: what it removed needs no sweeping.
        with contextlib.suppress(FileNotFoundError):
            if os.lstat(directory).st_uid != os.geteuid():
                continue
            descriptor = lock(directory)
            if descriptor is not None:
                try:
                    _end_users(directory)
                    clear(directory)
                finally:
                    os.close(descriptor)
    pools.sweep(parent)


def _end_users(directory: str) -> None:
    """Kill what was started there and outlived all that would have ended it.

    Each process of a target has a TMPDIR in it (environ(7)), unless it has given that up.
    """
    mark = f"TMPDIR={directory}/".encode()
    for name in os.listdir("/proc"):
        if name.isdigit():
            # Gone meanwhile, or somebody else's.
            with contextlib.suppress(OSError):
                with open(f"/proc/{name}/environ", "rb") as file:
                    variables = file.read().split(b"\0")
                if any(variable.startswith(mark) for variable in variables):
                    os.kill(int(name), signal.SIGKILL)


def clear(directory: str) -> None:
    """Unmount all below a target's directory, where its users have been ended, and remove it.

    Only what this process may remove: files of subordinate ids cannot be, from outside of their
    user namespace. Nobody is harmed by an old directory. No mount is ever entered. The target's
    pools, whose files may lie there, are destroyed in between.
    """
    for mount in reversed(census.mountinfo()):
        if mount["target"].startswith(f"{directory}/"):
            # Gone with a mount that was below it in the tree, or hidden by another's.
            with contextlib.suppress(OSError):
                kernel.detach(mount["target"])
    pools.clear(directory)
    with contextlib.suppress(OSError):
        treewalk.remove(directory)
