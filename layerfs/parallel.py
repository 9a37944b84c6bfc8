"""Add several layers at once: each is read and extracted by a process of its own (``extracting``).

A layer keeps a processor or two busy; an image has several, and they do not depend on each other.
Helpers fill the directory of an operation each. Everything that others see is done here, one layer
after the other, as ``adding`` does it: so nothing new has to be true for a crash, and what fails or
is interrupted leaves nothing behind. Helpers end with this process.
"""

from __future__ import annotations

import json
import os
import selectors
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from layerfs import adding, command, extracting
from layerfs.backends.overlay import OverlayBackend
from layerfs.errors import StorageError, retold
from layerfs.opening import Parts
from layerfs.reading import Expected
from layerfs.staging import Operation

Progress = Callable[[int, int | None], None]

#: Bytes of a blob that are worth a process; to read less takes less than to start one.
_LARGE: Final = 1 << 20
#: Layers at a time, at most: each has a reader, helpers of its own, and some 60 MiB of memory.
_MOST: Final = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """A layer to be added: its blob, and what its descriptor says. ``expected.size`` is known."""

    blob: Path
    expected: Expected

    @property
    def size(self) -> int:
        """Bytes of the blob, by its descriptor."""
        return self.expected.size or 0


def add_all(parts: Parts, layers: Sequence[Wanted], progress: Progress | None = None) -> None:
    """Add the layers, which must have a digest and a size each; those that are here are compared.

    Raises what ``adding.add`` raises for one of them. Then none that was still being added is
    there; those that were done stay, and are the caller's to remove.
    """
    shown = _Shown(layers, progress)
    apart = _worth_a_process(parts, layers)
    with ExitStack() as ends:
        extracted = _Crew(parts, apart, shown, ends).run() if len(apart) > 1 else {}
        # In the order of the image, however long each of them took.
        for wanted in layers:
            made = extracted.pop(wanted, None)
            if made is None:
                extra = adding.Extra(progress=shown.of(wanted))
                adding.add(parts, wanted.blob, wanted.expected, extra)
                continue
            operation, found = made
            adding.add_extracted(
                parts,
                operation,
                found.reading(),
                media_type=wanted.expected.media_type,
                tree_bytes=found.tree_bytes,
            )


def _worth_a_process(parts: Parts, layers: Sequence[Wanted]) -> list[Wanted]:
    """Return the large layers of which nothing is here yet, each content once, largest first."""
    if not command.are_possible() or not isinstance(parts.backend, OverlayBackend):
        return []
    new: dict[str, Wanted] = {}
    for wanted in layers:
        expected = wanted.expected
        assert expected.digest is not None, "layers of images have descriptors"
        known = parts.meta.has_layer(expected.digest) or (
            expected.diff_id is not None and parts.meta.layers_of(expected.diff_id)
        )
        if wanted.size >= _LARGE and not known:
            new.setdefault(expected.diff_id or expected.digest, wanted)
    return sorted(new.values(), key=lambda one: one.size, reverse=True)


class _Shown:
    """Puts the progress of several layers together."""

    def __init__(self, layers: Iterable[Wanted], progress: Progress | None) -> None:
        self._progress = progress
        self._done: dict[Wanted, int] = {}
        self._total = sum(wanted.size for wanted in dict.fromkeys(layers))

    def of(self, wanted: Wanted) -> Progress | None:
        """Return the progress of one layer."""
        if self._progress is None:
            return None
        return lambda done, _total: self.set(wanted, done)

    def set(self, wanted: Wanted, done: int) -> None:
        """Say how many bytes of a layer have been read."""
        self._done[wanted] = done
        if self._progress is not None:
            self._progress(sum(self._done.values()), self._total)


class _Helper:
    """One process, the operation that it fills, and the layer that it reads."""

    def __init__(self, parts: Parts, operation: Operation, wanted: Wanted) -> None:
        """OSError: it cannot be started."""
        assert isinstance(parts.backend, OverlayBackend), "see _worth_a_process"
        self.operation = operation
        self.wanted = wanted
        setup = extracting.Setup(
            path=sys.path,
            root=os.fspath(parts.root),
            features=parts.backend.features.to_json(),
            limits=None if parts.limits is None else asdict(parts.limits),
            source=os.fspath(wanted.blob),
            expected=asdict(wanted.expected),
            blob=os.fspath(operation.blob),
            tree=os.fspath(operation.new_tree()),
        )
        parts.meta.database.write_back_index()  # the helper, which syncs, cannot
        self._process = command.start(
            extracting.__name__, [extracting.setup_for(setup)], stdout=command.PIPE, alone=False
        )
        assert self._process.stdout is not None, "made with a pipe"
        self.output = self._process.stdout

    def read(self) -> tuple[int, extracting.Extracted | None]:
        """Return how far it is, and what it found; None while it works. Raises its error."""
        line = self.output.readline()
        if not line:
            status = self._process.wait()
            raise StorageError(f"the helper process that reads a layer ended with status {status}")
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise retold(told["error"])
        if "found" in told:
            return self.wanted.size, extracting.Extracted(**told["found"])
        return told["done"], None

    def close(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()  # no harm to one that has ended
        self._process.wait()
        self.output.close()


class _Crew:
    """The helpers at work, and the layers that wait for one."""

    def __init__(
        self, parts: Parts, layers: Sequence[Wanted], shown: _Shown, ends: ExitStack
    ) -> None:
        self._parts = parts
        self._waiting = list(reversed(layers))
        self._shown = shown
        self._ends = ends  #: where operations and helpers end
        self._selector = selectors.DefaultSelector()
        ends.callback(self._selector.close)

    def run(self) -> dict[Wanted, tuple[Operation, extracting.Extracted]]:
        """Extract all layers; without those for which no process could be started."""
        extracted = {}
        for _ in range(min(_MOST, len(os.sched_getaffinity(0)))):
            self._begin()
        while self._selector.get_map():
            for key, _ in self._selector.select():
                helper: _Helper = key.data
                done, found = helper.read()
                self._shown.set(helper.wanted, done)
                if found is not None:
                    self._selector.unregister(helper.output)
                    extracted[helper.wanted] = helper.operation, found
                    self._begin()
        return extracted

    def _begin(self) -> None:
        """Start a helper for the next layer, if there is one, and processes are allowed."""
        if not self._waiting:
            return
        wanted = self._waiting.pop()
        operation = self._ends.enter_context(self._parts.staging.operation())
        try:
            helper = _Helper(self._parts, operation, wanted)
        except OSError:  # no memory, too many processes
            self._waiting.clear()
            return
        self._ends.callback(helper.close)
        self._selector.register(helper.output, selectors.EVENT_READ, helper)
