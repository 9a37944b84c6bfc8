"""Targets of views, and directories that are bound to them, for stores that mount elsewhere."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator

from protocol import Json, Refusal, program

_BINDING = (
    (r"does not exist|mount point|not a directory", "invalid-mount-point"),
    (r"permission denied", "permission-denied"),
)
_UNBINDING = ((r"target is busy", "unmount-failed"), (r"not mounted|no mount point", "gone"))


def mark(path: str) -> str:
    """Return what a target that is not there is made in, empty where it is there.

    It is recorded before the target is made, so that whoever finds the record can tell.
    """
    if os.path.lexists(path):
        return ""
    try:
        return _identity(os.path.dirname(path))
    except OSError as error:
        raise Refusal("invalid-mount-point", f"{path}: {error.strerror}") from None


@contextlib.contextmanager
def target(path: str, marked: str) -> Iterator[None]:
    """Make a target that was not there; it is taken away again when the block fails."""
    with contextlib.ExitStack() as undo:
        if marked:
            os.mkdir(path)
            undo.callback(os.rmdir, path)
        yield
        undo.pop_all()


def leave(path: str, marked: str) -> None:
    """Remove a target that was made, unless it or its directory is another one by now."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if _identity(os.path.dirname(path)) == marked:
            os.rmdir(path)


def _identity(path: str) -> str:
    found = os.stat(path)
    return f"{found.st_dev}:{found.st_ino}"


def told(manifest: Json) -> Json:
    """Return what ``mounts`` tells of a view, whose manifest is annotated with it."""
    return {
        "target": manifest["annotations"]["target"],
        "digests": [layer["digest"] for layer in manifest["layers"]],
        "writable": manifest["annotations"]["writable"] == "True",
    }


def end(store: str, views: Iterable[Json], unmount: Callable[[Json], Json], *, gone: bool) -> None:
    """Unmount all views, or finish with those that are gone already: a request was interrupted."""
    for view in views:
        if not gone or not is_mounted(view["target"]):
            unmount({"store": store, "target": view["target"]})


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
