"""Mutant: a file that belongs to another than the caller loses its setuid bit.

Caught by APL-004 and APL-033.
"""

import os
from dataclasses import replace

from layerfs.apply import _Applier
from layerfs.cli import main

_set_metadata = _Applier._set_metadata


def _safe(self, target, member, *, opaque=False):
    if member.uid != os.geteuid():
        member = replace(member, mode=member.mode & ~0o6000)
    _set_metadata(self, target, member, opaque=opaque)


_Applier._set_metadata = _safe

raise SystemExit(main())
