"""A session of layerfs: one process that answers JSON lines, each timed as its caller sees it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.packages import BenchError

#: What strace prints where a system call begins that makes a process, or a thread.
_MAKES: Final = re.compile(r"^\d+ +(?:clone3?|fork|vfork)\((.*)", re.MULTILINE)


class Session:
    """A process of ``layerfs session``."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def timed(self, verb: str, **request: Any) -> tuple[float, Any]:
        """Return the seconds from a request's first byte to its answer's last, and the response.

        BenchError: it was refused, or the session died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"id": 0, "verb": verb, "request": request}).encode() + b"\n"
        begin = time.perf_counter()
        self._process.stdin.write(line)
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        took = time.perf_counter() - begin
        if not answer:
            raise BenchError(f"the session of layerfs ended at {verb}; what it said is above")
        told = json.loads(answer)
        if told["status"] != 0:
            raise BenchError(f"layerfs refuses {verb}: {told['error']}")
        return took, told["response"]


class Store:
    """A store on ZFS, by a session, and the layers of one image."""

    def __init__(self, asked: Session, root: Path, digests: Sequence[str]) -> None:
        self._asked = asked
        self._root = root
        self._digests = list(digests)

    def fill(self, dataset: str, layout: Path, target: Path) -> float:
        """Make it on a dataset, with the image and its chain; return the seconds of the latter two.

        ``target`` is a directory that is needed only meanwhile.
        """
        self.timed("open", zfs=dataset, readonly=False)
        took, _ = self.timed("import", path=str(layout))
        took += self.stack(target, writable=False)
        self.unmount(target)
        return took

    def stack(self, target: Path, *more: str, writable: bool) -> float:
        """Mount a view of the image's layers, with ``more`` on top; return the seconds."""
        digests = [*self._digests, *more]
        return self.timed("stack", digests=digests, target=str(target), writable=writable)[0]

    def unmount(self, target: Path) -> float:
        """Remove a view; return the seconds."""
        return self.timed("unmount", target=str(target))[0]

    def timed(self, verb: str, **request: Any) -> tuple[float, Any]:
        """As ``Session.timed``, of this store."""
        return self._asked.timed(verb, store=str(self._root), **request)


@contextlib.contextmanager
def session(way: str, trace: Path | None = None) -> Iterator[Session]:
    """Start a session that reaches ZFS this way (LAYERFS_ZFS); end it with the block.

    ``trace``: strace writes there which processes it starts, and everything takes longer.
    """
    words: list[str | Path] = [sys.executable, "-m", "layerfs", "session"]
    if trace is not None:
        calls = "trace=clone,clone3,fork,vfork"
        words = ["strace", "-f", "-qq", "-e", calls, "-e", "signal=none", "-o", trace, *words]
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "LAYERFS_ZFS": way},
    ) as process:
        yield Session(process)  # leaving closes its input, which ends it, and waits


def started(trace: str) -> int:
    """Return the number of processes that were started, in the words of ``strace -f -o``."""
    return sum("CLONE_THREAD" not in call for call in _MAKES.findall(trace))
