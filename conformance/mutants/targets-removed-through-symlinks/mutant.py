"""Mutant: a target is removed by its path, whatever its parent is by now. Caught by HST-268."""

import contextlib
import os

from layerfs import viewstate
from layerfs.cli import main


def _by_path(target):
    with contextlib.suppress(OSError):
        os.rmdir(target)


viewstate.remove_target = _by_path

raise SystemExit(main())
