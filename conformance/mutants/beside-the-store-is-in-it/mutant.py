"""Mutant: a target whose path begins with the store's is said to be in it. Caught by HST-253."""

import os

from layerfs import views
from layerfs.cli import main
from layerfs.errors import InvalidMountPointError

_check_target = views._check_target


def _by_prefix(parts, where):
    if where.startswith(os.fspath(parts.root)):
        raise InvalidMountPointError(f"{where!r} is in the store", path=where)
    return _check_target(parts, where)


views._check_target = _by_prefix

raise SystemExit(main())
