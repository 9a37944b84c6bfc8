"""Mutant: a hard link to a file becomes a copy of it. Caught by APL-019."""

import os
import shutil

from layerfs.cli import main

_link = os.link


def _copy(source, name, *, src_dir_fd, dst_dir_fd, **options):
    at = b"/proc/self/fd/%d/%b"
    try:
        shutil.copy2(at % (src_dir_fd, source), at % (dst_dir_fd, name), follow_symlinks=False)
    except shutil.SpecialFileError:
        _link(source, name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, **options)


os.link = _copy

raise SystemExit(main())
