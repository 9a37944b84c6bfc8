"""A stack through a standard stream of the command, which no request of the protocol can name."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Any

from layerfs import output
from layerfs.errors import ValidationError
from layerfs.verbs import receive_from

if TYPE_CHECKING:
    from layerfs.openstores import Stores


def send(stores: Stores, request: dict[str, Any]) -> None:
    """Write a stack to standard output. UnwrittenError: nobody reads it, or the disk is full."""
    _refuse_terminal(sys.stdout, "write a stack to", "redirect it, or give --output FILE")
    store = stores.get(request["store"])
    with output.writing():
        store.send(
            request["digests"],
            sys.stdout.buffer,
            since=request["since"],
            progress=stores.progress,
        )


def receive(stores: Stores, request: dict[str, Any]) -> dict[str, Any]:
    """Receive a stack from standard input, and return the response."""
    _refuse_terminal(sys.stdin, "read a stack from", "redirect it, or name a FILE")
    # The descriptor itself: nothing is read ahead, so that who waits for more can see it come.
    return receive_from(stores, request, sys.stdin.buffer.raw)  # type: ignore[union-attr]


def _refuse_terminal(stream: IO[str] | None, doing: str, remedy: str) -> None:
    if stream is None:
        raise ValidationError(f"cannot {doing} a closed stream: {remedy}")
    if stream.isatty():
        raise ValidationError(f"cannot {doing} a terminal: {remedy}")
