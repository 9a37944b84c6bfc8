"""Mutant: a symlink stays where a directory follows, and is taken for that. Caught by HST-211."""

import contextlib
import os

from layerfs import handles
from layerfs.apply import _Applier
from layerfs.cli import main

_remove, _make_directory = _Applier._remove, _Applier._make_directory


def _keep_symlinks(self, parent, name, old):
    if old.kind != "symlink":
        _remove(self, parent, name, old)


def _there_already(self, member, step):
    with contextlib.suppress(FileExistsError):
        _make_directory(self, member, step)


_Applier._remove = _keep_symlinks
_Applier._make_directory = _there_already
handles._CONFINED = 0
handles._DIRECTORY = os.O_RDONLY | os.O_DIRECTORY

raise SystemExit(main())
