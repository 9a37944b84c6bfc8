"""Mutant: the mount table's escapes are not undone. Caught by STK-013."""

import os

from layerfs.backends import overlay
from layerfs.cli import main


def _is_ours(_self, target, run, _table=None):
    wanted = [os.fsencode(overlay._source(run)), os.fsencode(target)]
    with open("/proc/self/mounts", "rb") as table:
        return any(line.split()[:2] == wanted for line in table)


overlay.OverlayBackend._is_ours = _is_ours

raise SystemExit(main())
