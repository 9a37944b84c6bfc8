"""Mutant: reserved flags of a gzip header are passed over. Caught by HST-123."""

from layerfs import decoders
from layerfs.cli import main

_decode = decoders.decode


def _cleared(compression, pull):
    first = pull()
    if compression == "gzip" and len(first) > 3:
        first = first[:3] + bytes([first[3] & 0x1F]) + first[4:]
    pieces = iter([first])
    return _decode(compression, lambda: next(pieces, b"") or pull())


decoders.decode = _cleared

raise SystemExit(main())
