"""Mutant: symlinks have no extended attributes. Caught by APL-111."""

from layerfs.cli import main
from layerfs.tarstream import TarReader

_next = TarReader.__next__


def _less(self):
    member = _next(self)
    if member.kind == "symlink":
        member.xattrs = {}
    return member


TarReader.__next__ = _less

raise SystemExit(main())
