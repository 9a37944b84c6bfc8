"""Mutant: the mode of a symlink is set with chmod(2), which follows it.

Caught by HST-007 and HST-008.
"""

import contextlib
import os

from layerfs.apply import _Applier
from layerfs.cli import main

_make_symlink = _Applier._make_symlink


def _with_mode(self, member, step):
    _make_symlink(self, member, step)
    with contextlib.suppress(OSError):  # it may lead to nothing
        os.chmod(step.name, member.mode, dir_fd=self._fd(step.parent))


_Applier._make_symlink = _with_mode

raise SystemExit(main())
