"""Mutant: zeros behind a compressed stream are padding. Caught by HST-125."""

from layerfs import decoders
from layerfs.cli import main
from layerfs.errors import DecompressionError

_decode = decoders.decode


def _padded(compression, pull):
    blob = b"".join(iter(pull, b""))
    for end in (len(blob), len(blob.rstrip(b"\0")), len(blob.rstrip(b"\0")) + 3):
        pieces = iter([blob[:end]])
        try:
            found = list(_decode(compression, lambda pieces=pieces: next(pieces, b"")))
        except DecompressionError as error:
            fault = error
        else:
            yield from found
            return
    raise fault


decoders.decode = _padded

raise SystemExit(main())
