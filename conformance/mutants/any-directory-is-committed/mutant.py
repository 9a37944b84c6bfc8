"""Mutant: commit makes a layer of any directory. Caught by CMT-007."""

import os

from layerfs import making, views
from layerfs.cli import main
from layerfs.diff import diff
from layerfs.errors import InvalidMountPointError

_commit = views.commit


def _of_directory(parts, target, *more):
    try:
        return _commit(parts, target, *more)
    except InvalidMountPointError:
        if not os.path.isdir(target):
            raise
        fd = os.open(target, os.O_RDONLY)
        try:
            return making.make(parts, lambda sink, _: diff(fd, sink, userxattr=False), *more)
        finally:
            os.close(fd)


views.commit = _of_directory

raise SystemExit(main())
