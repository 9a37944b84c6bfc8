"""Mutant: what lies in a setgid directory gets its group where it would have group 0.

Caught by APL-107.
"""

import os
import stat

from layerfs import apply
from layerfs.cli import main

_apply = apply.apply


def _then(reader, root_fd, **options):
    report = _apply(reader, root_fd, **options)
    for _, directories, files, fd in os.fwalk(b".", dir_fd=root_fd):
        status = os.fstat(fd)
        for name in (*directories, *files) if status.st_mode & stat.S_ISGID else ():
            if not os.stat(name, dir_fd=fd, follow_symlinks=False).st_gid:
                os.chown(name, -1, status.st_gid, dir_fd=fd, follow_symlinks=False)
    return report


apply.apply = _then

raise SystemExit(main())
