"""Mutant: a gzip stream that is cut off in its trailer is taken for whole. Caught by IDN-016."""

from layerfs import decoders
from layerfs.cli import main
from layerfs.errors import DecompressionError

_gzip = decoders._gzip


def _tolerant(pull):
    try:
        yield from _gzip(pull)
    except DecompressionError as error:
        if "cut short" not in error.message:
            raise


decoders._gzip = _tolerant

raise SystemExit(main())
