"""Mutant: of a gzip blob only the first member is decompressed. Caught by IDN-003."""

import zlib

from layerfs import decoders
from layerfs.cli import main
from layerfs.errors import DecompressionError


def _gzip(pull):
    member = zlib.decompressobj(wbits=31)
    try:
        while data := pull():
            if not member.eof:
                yield member.decompress(data)
    except zlib.error as error:
        raise DecompressionError(f"damaged blob: {error}") from None
    if not member.eof:
        raise DecompressionError("the gzip stream is cut short")


decoders._gzip = _gzip

raise SystemExit(main())
