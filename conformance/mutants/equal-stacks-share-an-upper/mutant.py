"""Mutant: writable views of the same layers share one upper directory.

Caught by STK-006 and UNM-010.
"""

import hashlib
import os

from layerfs import mounts
from layerfs.cli import main

_mount_overlay = mounts.mount_overlay


def _shared(lowers, target, *, upper=None, work=None, **options):
    if upper is not None:
        run = os.path.dirname(os.path.dirname(upper))
        name = hashlib.sha256("".join(lowers).encode()).hexdigest()
        if not os.path.exists(os.path.join(run, name)):
            os.rename(upper, os.path.join(run, name))
        upper = os.path.join(run, name)
    _mount_overlay(lowers, target, upper=upper, work=work, **options)


mounts.mount_overlay = _shared

raise SystemExit(main())
