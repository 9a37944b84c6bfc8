"""Mutant: a gzip stream may end after any whole block of 512 bytes. Caught by HST-120."""

import re

from layerfs import decoders
from layerfs.cli import main
from layerfs.errors import DecompressionError

_decode = decoders.decode


def _tolerant(compression, pull):
    try:
        yield from _decode(compression, pull)
    except DecompressionError as error:
        found = re.search(r"gzip stream is cut short at offset (\d+)", error.message)
        if not found or int(found[1]) % 512:
            raise


decoders.decode = _tolerant

raise SystemExit(main())
