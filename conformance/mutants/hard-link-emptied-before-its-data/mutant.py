"""Mutant: what a hard link leads to is emptied for the data that may follow. Caught by HST-228."""

import contextlib
import os

from layerfs.cli import main

_link = os.link


def _linked(source, name, *, dst_dir_fd=None, **options):
    _link(source, name, dst_dir_fd=dst_dir_fd, **options)
    with contextlib.suppress(OSError):
        os.close(os.open(name, os.O_WRONLY | os.O_TRUNC, dir_fd=dst_dir_fd))


os.link = _linked

raise SystemExit(main())
