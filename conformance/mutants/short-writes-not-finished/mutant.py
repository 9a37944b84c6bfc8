"""Mutant: what write(2) leaves over of a large file is forgotten. Caught by IDN-020."""

import os

from layerfs import apply
from layerfs.cli import main

_SHORT = 1 << 17  # as a pipe, a network file system, or a signal may have it


def _write_pieces(fd, pieces):
    end = os.lseek(fd, 0, os.SEEK_CUR)
    for data in pieces:
        os.write(fd, data[:_SHORT])
        end += len(data)
    os.ftruncate(fd, end)


apply.write_pieces = _write_pieces

raise SystemExit(main())
