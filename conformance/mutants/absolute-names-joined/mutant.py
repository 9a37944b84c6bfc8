"""Mutant: an absolute name is joined to the root, as os.path.join does it. Caught by HST-002."""

import os

from layerfs.apply import _Applier
from layerfs.cli import main

_make_file = _Applier._make_file


def _joined(self, member, step):
    name = self._reader._name
    if not name.startswith(b"/"):
        _make_file(self, member, step)
        return
    with open(os.path.join(b"/proc/self/fd/%d" % self._root_fd, name), "wb") as file:
        self._reader.copy(file.write)


_Applier._make_file = _joined

raise SystemExit(main())
