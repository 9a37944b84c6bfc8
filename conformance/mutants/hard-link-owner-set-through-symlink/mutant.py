"""Mutant: the owner of a hard link is set through the symlink that it may be. Caught by HST-222."""

import contextlib
import os

from layerfs.cli import main

_link = os.link


def _linked(source, name, *, dst_dir_fd=None, **options):
    _link(source, name, dst_dir_fd=dst_dir_fd, **options)
    with contextlib.suppress(OSError):
        os.chown(name, 12, 34, dir_fd=dst_dir_fd)


os.link = _linked

raise SystemExit(main())
