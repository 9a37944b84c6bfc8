"""Mutant: a layer that only takes away counts as empty. Caught by APL-105."""

import os
import stat

from layerfs import apply
from layerfs.cli import main

_apply = apply.apply


def _emptied(reader, root_fd, **options):
    report = _apply(reader, root_fd, **options)
    names = os.listdir(root_fd)
    if all(stat.S_ISCHR(os.lstat(f"/proc/self/fd/{root_fd}/{name}").st_mode) for name in names):
        for name in names:
            os.unlink(name, dir_fd=root_fd)
        report.whiteouts.clear()
    return report


apply.apply = _emptied

raise SystemExit(main())
