"""Mutant: files are made by their path below the staging directory. Caught by HST-260."""

import os

from layerfs.cli import main
from layerfs.handles import Handles

_fd = Handles.fd


def _by_path(self, directory):
    if directory.parent is None:
        return self._root_fd
    if (kept := self._open.pop(directory, None)) is not None:
        os.close(kept)
    path = b"/proc/self/fd/%d/%b" % (self._root_fd, directory.path())
    fd = self._open[directory] = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    return fd


Handles.fd = _by_path

raise SystemExit(main())
