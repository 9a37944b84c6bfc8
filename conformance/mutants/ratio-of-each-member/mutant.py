"""Mutant: the ratio of a gzip blob is that of each of its members. Caught by HST-102."""

import zlib
from dataclasses import replace

from layerfs import decoders
from layerfs.cli import main
from layerfs.compression import BlobReader
from layerfs.errors import LimitExceededError
from layerfs.limits import Limits

LIMITS = Limits()
_init, _decode = BlobReader.__init__, decoders.decode


def _lax(self, raw, compression, *, limits=None, **options):
    if compression == "gzip":
        limits = replace(limits or LIMITS, max_ratio=2**62)
    _init(self, raw, compression, limits=limits, **options)


def _members(pull):
    rest = pull()
    while rest:
        member, fed, made = zlib.decompressobj(wbits=31), 0, 0
        while not member.eof and (rest := rest or pull()):
            fed += len(rest)
            piece = member.decompress(rest, decoders.PIECE)
            rest = member.unconsumed_tail
            fed -= len(rest)
            made += len(piece)
            if made > max(LIMITS.ratio_floor_bytes, LIMITS.max_ratio * fed):
                raise LimitExceededError("a bomb", limit=f"max_ratio={LIMITS.max_ratio}")
            yield piece
        rest = member.unused_data or pull()


def _decoded(compression, pull):
    return _members(pull) if compression == "gzip" else _decode(compression, pull)


BlobReader.__init__ = _lax
decoders.decode = _decoded

raise SystemExit(main())
