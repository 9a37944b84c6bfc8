"""Mutant: the times of symlinks and fifos are cut to whole seconds. Caught by DIF-001."""

from layerfs.cli import main
from layerfs.tarstream import TarReader

_next = TarReader.__next__


def _whole_seconds(self):
    member = _next(self)
    if member.kind in {"symlink", "fifo"}:
        member.mtime_ns -= member.mtime_ns % 10**9
    return member


TarReader.__next__ = _whole_seconds

raise SystemExit(main())
