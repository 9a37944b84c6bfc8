"""Mutant: a writable view writes into its topmost layer. Caught by STK-005, STK-007 and UNM-010."""

import os

from layerfs import mounts
from layerfs.cli import main

_mount_overlay = mounts.mount_overlay


def _into_the_top(lowers, target, *, upper=None, work=None, **options):
    if upper is not None:
        upper, *below = lowers
        lowers = [*below, os.path.join(os.path.dirname(work), "empty")]
        os.mkdir(lowers[-1])
    _mount_overlay(lowers, target, upper=upper, work=work, **options)


mounts.mount_overlay = _into_the_top

raise SystemExit(main())
