"""A helper process of ``parallel``: reads one layer's blob into an operation's directory.

Started by ``command`` with one argument, a `Setup` as JSON. It copies the blob to ``blob``,
verifies it, extracts it to ``tree``, syncs both, and answers in JSON lines on standard output: how
far it is, and in the end what it found or what failed. It decides nothing, and touches nothing
else of the store; what it leaves behind is for its parent to publish, or to remove.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from layerfs import syscalls
from layerfs.adding import opened
from layerfs.backends import Features
from layerfs.backends.overlay import OverlayBackend
from layerfs.earlysync import meanwhile
from layerfs.errors import LayerFSError, from_os_error
from layerfs.limits import Limits
from layerfs.reading import Expected, Reading, Tee, read_layer
from layerfs.removal import disk_usage

if TYPE_CHECKING:
    from layerfs.tarstream import TarReader

#: Seconds between two lines that tell how far it is.
_INTERVAL: Final = 0.1


@dataclass(frozen=True, slots=True)
class Setup:
    """What the helper has to know."""

    path: list[str]  #: where Python finds its packages: the decompressors
    root: str  #: of the store
    features: dict[str, Any]  #: of its backend
    limits: dict[str, int] | None
    source: str  #: the blob to read
    expected: dict[str, Any]  #: what is said of it
    blob: str  #: where to copy it
    tree: str  #: an empty directory to extract into


class Extracted(NamedTuple):
    """What a layer turned out to be; ``tree_bytes`` is what its tree takes on disk."""

    digest: str
    diff_id: str
    size: int
    tree_bytes: int

    def reading(self) -> Reading:
        """Return what is of the blob."""
        return Reading(self.digest, self.size, self.diff_id)


def extract(setup: Setup) -> Extracted:
    """Do all of it. Raises what reading and extracting raise, WriteFailedError, StorageError."""
    backend = OverlayBackend(Path(setup.root), Features.from_json(setup.features))
    limits = None if setup.limits is None else Limits(**setup.limits)
    wanted, tree = Expected(**setup.expected), Path(setup.tree)

    measured: list[int | None] = []

    def ingest(reader: TarReader) -> None:
        measured.append(backend.ingest(reader, tree))

    with opened(setup.source) as raw:
        # As old as the writing, so that an error of writing back is reported.
        syncing = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with Tee(raw, wanted, Path(setup.blob), progress=_Progress()) as tee:
            found = read_layer(tee, wanted, ingest, limits)

    def sync() -> None:
        try:
            syscalls.syncfs(syncing)
        except OSError as error:
            raise from_os_error(error, "syncing", setup.tree) from error

    with meanwhile(sync):
        usage = measured[-1]
        if usage is None:
            usage = disk_usage(tree)
    return Extracted(found.digest, found.diff_id, found.size, usage)


class _Progress:
    """Tells the parent how many bytes have been read, now and then."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, _total: int | None) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _INTERVAL
            _say({"done": done})


def main(arguments: list[str]) -> None:
    """Do it, and say how it went."""
    setup = Setup(**json.loads(arguments[0]))
    sys.path[:] = setup.path
    try:
        _say({"found": extract(setup)._asdict()})
    except LayerFSError as error:
        _say({"error": error.told()})


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def setup_for(setup: Setup) -> str:
    """Return the argument for `main`."""
    return json.dumps(asdict(setup))
