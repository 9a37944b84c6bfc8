"""Mutant: ends a sparse file behind its last data. Caught by ZFS-206."""

import os

from layerfs import apply
from layerfs.cli import main


def _write_sparse(self, fd, member):
    """Write the pieces where they belong, and leave the last hole out."""
    for offset, length in member.sparse or ():
        os.lseek(fd, offset, os.SEEK_SET)
        apply.write_pieces(fd, self._reader.chunks(length))
        self._report.bytes += length


apply._Applier._write_sparse = _write_sparse

raise SystemExit(main())
