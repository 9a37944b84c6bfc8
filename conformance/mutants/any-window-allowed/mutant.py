"""Mutant: a zstd frame may ask for any window. Caught by HST-129."""

from layerfs import decoders
from layerfs.cli import main

_decode = decoders.decode


def _shrunk(compression, pull):
    first = pull()
    if compression == "zstd" and first[4:5] == b"\0":
        first = first[:5] + min(first[5:6], b"\x70") + first[6:]
    pieces = iter([first])
    return _decode(compression, lambda: next(pieces, b"") or pull())


decoders.decode = _shrunk

raise SystemExit(main())
