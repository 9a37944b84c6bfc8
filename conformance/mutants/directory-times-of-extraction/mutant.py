"""Mutant: a directory has the time at which its last entry was made. Caught by APL-007."""

import os

from layerfs.apply import _Applier
from layerfs.cli import main

_set_metadata = _Applier._set_metadata


def _touched(self, target, member, *, opaque=False):
    _set_metadata(self, target, member, opaque=opaque)
    if member.kind == "dir":
        os.utime(target)


_Applier._set_metadata = _touched

raise SystemExit(main())
