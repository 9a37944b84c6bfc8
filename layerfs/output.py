"""Standard output and standard error of the command: written whole, or known not to be."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


class UnwrittenError(Exception):
    """The answer could not be written: ``__cause__`` says why."""


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Have all that is written inside written when it ends. UnwrittenError."""
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:  # None: closed by the caller
                sys.stdout.flush()
    except OSError as error:
        raise UnwrittenError from error


def put(text: str) -> None:
    """Write to standard output; what its encoding lacks as an escape. UnwrittenError."""
    if sys.stdout is not None:
        encoding = sys.stdout.encoding
        with writing():
            sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def give_up() -> None:
    """Have what is left in the buffer not fail again when the interpreter ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def tell(message: str) -> None:
    """Write one line for people to standard error, if anybody listens there."""
    from layerfs.render import plain  # noqa: PLC0415 - for few

    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"layerfs: {plain(message)}\n")
