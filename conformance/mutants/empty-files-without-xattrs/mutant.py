"""Mutant: empty files have no extended attributes. Caught by APL-110."""

from layerfs.cli import main
from layerfs.tarstream import TarReader

_next = TarReader.__next__


def _less(self):
    member = _next(self)
    if member.kind == "file" and not member.size:
        member.xattrs = {}
    return member


TarReader.__next__ = _less

raise SystemExit(main())
