"""Mutant: a gzip member without content ends the stream. Caught by HST-126."""

import gzip

from layerfs import decoders
from layerfs.cli import main

EMPTY = gzip.compress(b"", compresslevel=1, mtime=0)
_decode = decoders.decode


def _ended(compression, pull):
    if compression != "gzip":
        return _decode(compression, pull)
    blob = b"".join(iter(pull, b""))
    pieces = iter([blob[: blob.find(EMPTY) + len(EMPTY)] if EMPTY in blob else blob])
    return _decode(compression, lambda: next(pieces, b""))


decoders.decode = _ended

raise SystemExit(main())
