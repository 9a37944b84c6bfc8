"""Mutant: a time before 1970 becomes the beginning of 1970. Caught by APL-005 and APL-006."""

from layerfs.cli import main
from layerfs.tarstream import TarReader

_next = TarReader._next


def _clipped(self):
    member = _next(self)
    if member is not None:
        member.mtime_ns = max(member.mtime_ns, 0)
    return member


TarReader._next = _clipped

raise SystemExit(main())
