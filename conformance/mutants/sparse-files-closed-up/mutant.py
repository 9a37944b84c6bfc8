"""Mutant: the pieces of a sparse file are written one after the other. Caught by APL-021."""

import os

from layerfs.apply import _Applier, write_pieces
from layerfs.cli import main


def _write_sparse(self, fd, member):
    write_pieces(fd, self._reader.chunks(member.stored_size))
    os.ftruncate(fd, member.size)


_Applier._write_sparse = _write_sparse

raise SystemExit(main())
