"""Mutant: verifying follows a symlink that took the place of a directory or file.

Caught by HST-264.
"""

import os

from layerfs import handles, verifytree
from layerfs.cli import main

_stat = os.stat


def _followed(path, *, dir_fd=None, follow_symlinks=True):
    try:
        return _stat(path, dir_fd=dir_fd)
    except OSError:
        return _stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)


class _Os:
    """The os module, whose stat follows symlinks."""

    def __getattr__(self, name):
        return _followed if name == "stat" else getattr(os, name)


verifytree.os = _Os()
verifytree._FILE = os.O_RDONLY
handles._CONFINED = 0
handles._DIRECTORY = os.O_RDONLY | os.O_DIRECTORY

raise SystemExit(main())
