"""Progress of long work, on a terminal: bytes done, of how many, and how fast.

One line that is written over, some ten times a second at most, and cleared at the end. Nothing is
written where the stream is no terminal.
"""

from __future__ import annotations

import math
import time
from typing import Final, TextIO

from layerfs.render import size

_INTERVAL: Final = 0.1
#: Work that ends sooner shows nothing.
_PATIENCE: Final = 0.5


class Progress:
    """Call it with bytes done and bytes in all (or None); ``clear`` takes the line away."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = self._next = 0.0
        self._done = 0
        self._width = 0

    def __call__(self, done: int, total: int | None) -> None:
        """Show how far it is, if enough time has passed."""
        now = time.monotonic()
        if not self._begun or done < self._done:  # the first, or the next blob
            self._begun = now
            self._next = max(self._next, now + _PATIENCE)
        self._done = done
        if now < self._next:
            return
        self._next = now + _INTERVAL
        self._show(done, total, now - self._begun)

    def _show(self, done: int, total: int | None, seconds: float) -> None:
        parts = [size(done)]
        if total:
            parts = [f"{size(done)} of {size(total)}, {min(100, done * 100 // total)}%"]
        if seconds > 0:
            parts.append(f"{size(done / seconds)}/s")
        line = ", ".join(parts)
        self._put("\r" + line.ljust(self._width))
        self._width = len(line)

    def clear(self) -> None:
        """Take the line away, so that what is written next stands at its place."""
        if self._width:
            self._put("\r" + " " * self._width + "\r")
            self._width = 0

    def _put(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # the terminal is gone; the work is not
            self._next = math.inf


def on(stream: TextIO | None) -> Progress | None:
    """Return a Progress if ``stream`` is a terminal."""
    return Progress(stream) if stream is not None and stream.isatty() else None
