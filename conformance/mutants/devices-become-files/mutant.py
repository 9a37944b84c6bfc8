"""Mutant: a device that may not be made becomes an empty file. Caught by HST-231."""

import os
import stat

from layerfs.apply import _Applier
from layerfs.cli import main
from layerfs.layertree import Node

_make_special = _Applier._make_special


def _as_file(self, member, step):
    try:
        _make_special(self, member, step)
    except PermissionError:
        pass
    else:
        if step.node not in self._absent:
            return
    os.mknod(step.name, stat.S_IFREG | 0o600, dir_fd=self._fd(step.parent))
    step.parent.children[step.name] = Node("file")


_Applier._make_special = _as_file

raise SystemExit(main())
