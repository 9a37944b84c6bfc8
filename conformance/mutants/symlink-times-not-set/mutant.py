"""Mutant: a symlink has the time at which it was extracted. Caught by APL-006 and HST-008."""

import os

from layerfs.cli import main

_utime = os.utime


def _followed_only(path, *args, follow_symlinks=True, **options):
    if follow_symlinks:
        _utime(path, *args, **options)


os.utime = _followed_only

raise SystemExit(main())
