"""Targets of views, and directories that are bound to them, for stores that mount elsewhere."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from protocol import Refusal, program

_BINDING = (
    (r"does not exist|mount point|not a directory", "invalid-mount-point"),
    (r"permission denied", "permission-denied"),
)
_UNBINDING = ((r"target is busy", "unmount-failed"), (r"not mounted|no mount point", "gone"))


@contextlib.contextmanager
def target(path: str) -> Iterator[bool]:
    """Make a target that is not there, and say so; it is taken away again when the block fails."""
    created = not os.path.lexists(path)
    with contextlib.ExitStack() as undo:
        if created:
            try:
                os.mkdir(path)
            except OSError as error:
                raise Refusal("invalid-mount-point", f"{path}: {error.strerror}") from None
            undo.callback(os.rmdir, path)
        yield created
        undo.pop_all()


def leave(path: str, *, created: bool) -> None:
    """Remove a target that was made, unless somebody did."""
    if created:
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(path)


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
