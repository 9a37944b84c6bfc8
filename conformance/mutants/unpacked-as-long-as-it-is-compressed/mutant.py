"""Mutant: what is compressed twice is unpacked twice. Caught by HST-104."""

from itertools import chain

from layerfs import decoders
from layerfs.cli import main

_decode = decoders.decode


def _again(compression, pull):
    pieces = _decode(compression, pull)
    first = next(pieces, b"")
    whole = chain([first], pieces)
    if compression == "gzip" and first.startswith(b"\x1f\x8b"):
        return _again("gzip", lambda: next(whole, b""))
    return whole


decoders.decode = _again

raise SystemExit(main())
