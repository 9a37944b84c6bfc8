"""Mutant: of a zstd blob only the first frame is decompressed. Caught by IDN-002."""

from layerfs import decoders
from layerfs.cli import main


def _zstd(pull):
    frame = decoders.zstandard_module().ZstdDecompressor().decompressobj()
    while data := pull():
        if not frame.eof:
            yield frame.decompress(data)


decoders._zstd = _zstd

raise SystemExit(main())
