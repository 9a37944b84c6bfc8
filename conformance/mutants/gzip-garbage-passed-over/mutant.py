"""Mutant: what follows a gzip stream is passed over, as gzip(1) does. Caught by IDN-016."""

from layerfs import decoders
from layerfs.cli import main
from layerfs.errors import DecompressionError

_gzip = decoders._gzip


def _tolerant(pull):
    try:
        yield from _gzip(pull)
    except DecompressionError as error:
        if "garbage" not in error.message:
            raise
        while pull():  # the digest is that of the whole blob
            pass


decoders._gzip = _tolerant

raise SystemExit(main())
