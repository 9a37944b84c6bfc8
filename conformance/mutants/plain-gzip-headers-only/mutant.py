"""Mutant: a gzip header with a name or a comment is refused. Caught by HST-124."""

from layerfs import decoders
from layerfs.cli import main
from layerfs.errors import DecompressionError

_decode = decoders.decode


def _strict(compression, pull):
    first = pull()
    if compression == "gzip" and first[3:4] > b"\0":
        raise DecompressionError("a gzip header with flags")
    pieces = iter([first])
    return _decode(compression, lambda: next(pieces, b"") or pull())


decoders.decode = _strict

raise SystemExit(main())
