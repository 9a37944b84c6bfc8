"""A helper process of ``making``: extracts and hashes a layer's blob while it is being written.

Started as ``python -I -S``. On standard input it is told how long the blob is by now; on standard
output it says in the end what the blob is, or what failed, as one JSON object. It ends when the
input ends too early, and with its parent. What it extracted is for its parent to remove.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from layerfs import descriptor
from layerfs.backends import Features
from layerfs.backends.overlay import OverlayBackend
from layerfs.errors import LayerFSError, StorageError, from_os_error
from layerfs.limits import Limits
from layerfs.reading import Expected, Reading, read_layer

if TYPE_CHECKING:
    from layerfs.tarstream import TarReader

#: Each message: eight bytes, little-endian: twice the length, and 1 if there will not be more.
_MESSAGE: Final = 8
_MESSAGES: Final = 8192 * _MESSAGE


@dataclass(frozen=True, slots=True)
class Setup:
    """What the helper has to know; travels as JSON."""

    root: str  #: of the store
    features: dict[str, Any]  #: of its backend
    tree: str  #: an empty directory to extract into
    blob: str
    limits: dict[str, int] | None


def told(size: int, *, last: bool) -> bytes:
    """Return the message that the blob has ``size`` bytes by now; ``last``: that is all of it."""
    return (size << 1 | last).to_bytes(_MESSAGE, "little")


class Growing:
    """A file that somebody else still writes to, as far as ``messages`` say; ends with the last."""

    def __init__(self, blob: int, messages: int) -> None:
        self._blob = blob
        self._messages = messages
        self._at = 0
        self._size = 0
        self._whole = False

    def read(self, n: int, /) -> bytes:
        """Return 1 to ``n`` bytes, and wait for them; none only at the end.

        StorageError: the messages ended without a last one.
        """
        while self._at == self._size and not self._whole:
            # Written in one piece each, so that none is ever cut (pipe(7), PIPE_BUF).
            messages = os.read(self._messages, _MESSAGES)
            if not messages:
                raise StorageError("the process that writes the layer has gone")
            newest = int.from_bytes(messages[-_MESSAGE:], "little")
            self._size, self._whole = newest >> 1, bool(newest & 1)
        data = os.pread(self._blob, min(n, self._size - self._at), self._at)
        self._at += len(data)
        return data


def follow(setup: Setup, messages: int) -> Reading:
    """Extract the layer, and return what its blob is. Raises what ``read_layer`` raises."""
    backend = OverlayBackend(Path(setup.root), Features.from_json(setup.features))

    def extract(reader: TarReader) -> None:
        try:
            backend.ingest(reader, Path(setup.tree))
        except LayerFSError as error:
            # At once: the thread that reads may be waiting for more, which nobody wants now.
            _answer({"error": error.told()})

    try:
        blob = os.open(setup.blob, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise from_os_error(error, "opening blob", setup.blob) from error
    growing = Growing(blob, messages)
    limits = None if setup.limits is None else Limits(**setup.limits)
    return read_layer(growing, Expected(descriptor.LAYER), extract, limits)


def main(arguments: list[str]) -> None:
    """Do it, and say how it went."""
    setup = Setup(**json.loads(arguments[0]))
    gc.disable()  # what is made here is needed to the end, or freed by reference counts
    try:
        answer = follow(setup, sys.stdin.fileno())._asdict()
    except LayerFSError as error:
        answer = {"error": error.told()}
    _answer(answer)


def _answer(answer: dict[str, Any]) -> NoReturn:
    """Say how it went, and end, whatever the other threads are at."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)
