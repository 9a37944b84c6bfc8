"""Mutant: mode and time of a hard link are set on its file. Caught by APL-102."""

import os

from layerfs import apply
from layerfs.cli import main
from layerfs.tarstream import TarReader

_apply, _next = apply.apply, TarReader.__next__
_links = []


def _noting(self):
    member = _next(self)
    if member.kind == "hardlink":
        _links.append(member)
    return member


def _with_headers(reader, root_fd, **options):
    _links.clear()
    report = _apply(reader, root_fd, **options)
    for link in _links:
        path = b"/proc/self/fd/%d/%b" % (root_fd, link.name)
        os.chmod(path, link.mode)
        os.utime(path, ns=(link.mtime_ns, link.mtime_ns))
    return report


TarReader.__next__ = _noting
apply.apply = _with_headers

raise SystemExit(main())
