"""Mutant: the owner of a symlink is set with chown(2), which follows it. Caught by HST-008."""

import contextlib
import os

from layerfs.apply import _Applier
from layerfs.cli import main


def _chown(_self, member, target, *, dir_fd=None):
    with contextlib.suppress(FileNotFoundError):  # a symlink to nothing
        os.chown(target, member.uid, member.gid, dir_fd=dir_fd)


_Applier._chown = _chown

raise SystemExit(main())
