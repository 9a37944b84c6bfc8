"""Mutant: fifos and devices are made under a umask of 022. Caught by APL-112 and APL-113."""

import os
import stat

from layerfs import apply
from layerfs.cli import main

_apply = apply.apply


def _then(reader, root_fd, **options):
    report = _apply(reader, root_fd, **options)
    for _, _, files, fd in os.fwalk(b".", dir_fd=root_fd):
        for name in files:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            mode, whiteout = status.st_mode, stat.S_ISCHR(status.st_mode) and not status.st_rdev
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or whiteout):
                os.chmod(name, mode & 0o7755, dir_fd=fd)
    return report


apply.apply = _then

raise SystemExit(main())
