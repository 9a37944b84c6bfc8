"""Mutant: a directory with a hard link has the time at which that was made. Caught by APL-103."""

import os

from layerfs import apply
from layerfs.cli import main

_apply = apply.apply


def _then(reader, root_fd, **options):
    report = _apply(reader, root_fd, **options)
    for _, _, files, fd in os.fwalk(b".", dir_fd=root_fd):
        if any(os.stat(name, dir_fd=fd, follow_symlinks=False).st_nlink > 1 for name in files):
            os.utime(fd)
    return report


apply.apply = _then

raise SystemExit(main())
