"""Mutant: of several gzip members only the last one's checksum counts. Caught by HST-122."""

import zlib

from layerfs import decoders
from layerfs.cli import main
from layerfs.errors import DecompressionError

_decode = decoders.decode


def _members(blob):
    while blob:
        member = zlib.decompressobj(-15)
        data = member.decompress(blob[10:])
        trailer, blob = member.unused_data[:8], member.unused_data[8:]
        told = zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")
        if not member.eof or (not blob and trailer != told):
            raise DecompressionError("damaged blob: the last member")
        yield data


def _decoded(compression, pull):
    if compression == "gzip":
        return _members(b"".join(iter(pull, b"")))
    return _decode(compression, pull)


decoders.decode = _decoded

raise SystemExit(main())
