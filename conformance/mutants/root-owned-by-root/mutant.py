"""Mutant: of the entry of the root only mode and time count. Caught by APL-115."""

from layerfs.cli import main
from layerfs.tarstream import TarReader

_next = TarReader.__next__


def _less(self):
    member = _next(self)
    if member.name == b".":
        member.uid, member.gid, member.xattrs = 0, 0, {}
    return member


TarReader.__next__ = _less

raise SystemExit(main())
