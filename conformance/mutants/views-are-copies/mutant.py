"""Mutant: copies all files into a writable view. Caught by ZFS-042."""

import os

from layerfs.backends.zfsviews import ZfsViews
from layerfs.cli import main

real = ZfsViews.view


def view(self, diff_ids, target, run, *, writable, contents):
    """Let it have its own."""
    real(self, diff_ids, target, run, writable=writable, contents=contents)
    for path in target.rglob("*") if writable else ():
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            path.write_bytes(path.read_bytes())
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


ZfsViews.view = view

raise SystemExit(main())
