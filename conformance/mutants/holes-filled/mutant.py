"""Mutant: the holes of a sparse file are written. Caught by APL-114."""

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
            if stat.S_ISREG(status.st_mode) and status.st_blocks * 512 < status.st_size:
                file = os.open(name, os.O_WRONLY, dir_fd=fd)
                os.posix_fallocate(file, 0, status.st_size)
                os.utime(file, ns=(status.st_mtime_ns, status.st_mtime_ns))
                os.close(file)
    return report


apply.apply = _then

raise SystemExit(main())
