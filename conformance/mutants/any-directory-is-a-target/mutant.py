"""Mutant: a target only has to be a directory. Caught by STK-010 and STK-011."""

import os

from layerfs import views
from layerfs.cli import main
from layerfs.errors import InvalidMountPointError


def _check(_parts, where):
    if not os.path.isdir(os.path.dirname(where)):
        raise InvalidMountPointError(f"there is no directory {os.path.dirname(where)!r}")
    if os.path.lexists(where) and not os.path.isdir(where):
        raise InvalidMountPointError(f"{where!r} is no directory")
    return not os.path.lexists(where)


views._check_target = _check

raise SystemExit(main())
