"""Mutant: the process's umask is taken off the modes of the archive.

Caught by APL-003 and APL-032.
"""

import os
from dataclasses import replace

from layerfs.apply import _Applier
from layerfs.cli import main

_set_metadata = _Applier._set_metadata


def _masked(self, target, member, *, opaque=False):
    umask = os.umask(0o022)
    os.umask(umask)
    _set_metadata(self, target, replace(member, mode=member.mode & ~umask), opaque=opaque)


_Applier._set_metadata = _masked

raise SystemExit(main())
