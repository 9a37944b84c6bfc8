"""Mutant: the mode of a hard link is set through the symlink that it may be. Caught by HST-221."""

import contextlib
import os

from layerfs.cli import main

_link = os.link


def _linked(source, name, *, dst_dir_fd=None, **options):
    _link(source, name, dst_dir_fd=dst_dir_fd, **options)
    with contextlib.suppress(OSError):
        os.chmod(name, 0o600, dir_fd=dst_dir_fd)


os.link = _linked

raise SystemExit(main())
