"""Mutant: a blob's compression is told by its first bytes, not by its media type.

Caught by IDN-014.
"""

from itertools import chain

from layerfs import decoders
from layerfs.cli import main

_decode = decoders.decode
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}


def _guess(_, pull):
    first = pull()
    pieces = chain([first], iter(pull, b""))
    yield from _decode(_MAGIC.get(first[:2], "none"), lambda: next(pieces, b""))


decoders.decode = _guess

raise SystemExit(main())
