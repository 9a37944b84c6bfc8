"""Mutant: a target may lie in the store.

Caught by STK-010 and HST-253.
"""

from pathlib import Path

from layerfs import views
from layerfs.cli import main

_check_target = views._check_target


def _check(parts, where):
    return _check_target(parts._replace(root=Path("/nowhere")), where)


views._check_target = _check

raise SystemExit(main())
