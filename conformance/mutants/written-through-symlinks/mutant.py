"""Mutant: a file whose name is a symlink's is written where that leads.

Caught by HST-005 and HST-007.
"""

import os

from layerfs import apply
from layerfs.apply import _Applier
from layerfs.cli import main

_remove = _Applier._remove


def _keep_symlinks(self, parent, name, old):
    if old.kind != "symlink":
        _remove(self, parent, name, old)


apply._NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_Applier._remove = _keep_symlinks

raise SystemExit(main())
