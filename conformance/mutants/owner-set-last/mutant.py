"""Mutant: owners are set last, which clears setuid bits and capabilities.

Caught by APL-003, APL-004 and APL-011.
"""

import os

from layerfs.apply import _Applier
from layerfs.cli import main

_set_metadata = _Applier._set_metadata


def _late(self, target, member, *, opaque=False):
    _set_metadata(self, target, member, opaque=opaque)
    if not self._options.squash_ids:
        os.chown(target, member.uid, member.gid)


_Applier._set_metadata = _late

raise SystemExit(main())
