"""Mutant: the owner is set once more for a second name, which clears setuid. Caught by APL-109."""

import os

from layerfs import apply
from layerfs.cli import main

_apply = apply.apply


def _then(reader, root_fd, **options):
    report = _apply(reader, root_fd, **options)
    for _, _, files, fd in os.fwalk(b".", dir_fd=root_fd):
        for name in files:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if status.st_nlink > 1:
                os.chown(name, status.st_uid, status.st_gid, dir_fd=fd, follow_symlinks=False)
    return report


apply.apply = _then

raise SystemExit(main())
