"""Targets of views, and directories that are bound to them, for stores that mount elsewhere."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

from protocol import Refusal, program

_BINDING = (
    (r"does not exist|mount point|not a directory", "invalid-mount-point"),
    (r"permission denied", "permission-denied"),
)
_UNBINDING = ((r"target is busy", "unmount-failed"), (r"not mounted|no mount point", "gone"))


@contextlib.contextmanager
def target(path: str) -> Iterator[str]:
    """Make a target that is not there, and give its mark, empty where it was there.

    It is taken away again when the block fails.
    """
    made = not os.path.lexists(path)
    with contextlib.ExitStack() as undo:
        if made:
            try:
                os.mkdir(path)
            except OSError as error:
                raise Refusal("invalid-mount-point", f"{path}: {error.strerror}") from None
            undo.callback(os.rmdir, path)
        yield _mark(path) if made else ""
        undo.pop_all()


def leave(path: str, mark: str) -> None:
    """Remove a target that was made, if that is still what is there."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if _mark(path) == mark:
            os.rmdir(path)


def _mark(path: str) -> str:
    found = os.lstat(path)
    return f"{found.st_dev}:{found.st_ino}"


def is_mounted(path: str) -> bool:
    """Whether anything is mounted at a target (proc_pid_mountinfo(5))."""
    with open("/proc/self/mountinfo", "rb") as file:
        targets = [line.split(b" ")[4] for line in file]
    return os.fsencode(path) in {re.sub(rb"\\([0-7]{3})", _byte, one) for one in targets}


def _byte(escape: re.Match[bytes]) -> bytes:
    return bytes([int(escape[1], 8)])


def bind(source: str, path: str, *, writable: bool) -> None:
    """Mount a directory at a target, read-only unless ``writable``. Raises Refusal."""
    program(["mount", "--options", "bind,rw" if writable else "bind,ro", source, path], _BINDING)


def unbind(path: str) -> None:
    """Unmount it again, unless somebody did. Raises Refusal where it is busy."""
    try:
        program(["umount", path], _UNBINDING)
    except Refusal as refusal:
        if refusal.error["code"] != "gone":
            raise
