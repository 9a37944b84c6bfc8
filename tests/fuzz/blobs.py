"""What must hold of any bytes that are read as a blob, or as pax records.

The targets ``gzip``, ``zstd`` and ``records``. However the bytes are cut, a decoder gives the same
output or refuses; only DecompressionError comes out; no piece is larger than the decoder promises.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator

from layerfs import decoders, paxrecords
from layerfs.errors import DecompressionError, LayerFSError
from layerfs.tarfields import Damage

#: What comes out beyond is not looked at: a few KB of zstd can ask for gigabytes.
_ENOUGH = 4 << 20
_CUTS = (1 << 20, 1, 7, 4096)


def check_gzip(data: bytes) -> None:
    whole = decoded("gzip", data, _CUTS[0])
    for size in _CUTS[1:]:
        assert alike(decoded("gzip", data, size), whole), f"another result in pieces of {size}"
    if whole is not None:
        assert whole == plainly(data), "zlib reads something else"


def check_zstd(data: bytes) -> None:
    whole = decoded("zstd", data, _CUTS[0])
    for size in _CUTS[1:]:
        assert alike(decoded("zstd", data, size), whole), f"another result in pieces of {size}"


def alike(one: bytes | None, other: bytes | None) -> bool:
    """Whether two results agree; what comes behind enough output need not have been met by both."""
    enough = [result for result in (one, other) if result is not None and len(result) == _ENOUGH]
    return one == other or (None in (one, other) and len(enough) == 1)


def decoded(compression: str, data: bytes, size: int) -> bytes | None:
    """The output, or what there is enough of it; None when it was refused before."""
    left = iter([data[at : at + size] for at in range(0, len(data), size)])
    out = bytearray()
    pieces: Iterator[bytes] = decoders.decode(compression, lambda: next(left, b""))
    try:
        for piece in pieces:
            assert 0 < len(piece) <= decoders.PIECE
            out += piece
            if len(out) > _ENOUGH:
                break
    except DecompressionError:
        return None
    return bytes(out[:_ENOUGH])


def plainly(data: bytes) -> bytes | None:
    """What zlib makes of gzip members, one after the other (RFC 1952, section 2.2)."""
    out = bytearray()
    while data:
        member = zlib.decompressobj(wbits=31)
        try:
            out += member.decompress(data, _ENOUGH + 1 - len(out))
        except zlib.error:
            return None
        if len(out) > _ENOUGH:
            break
        if not member.eof:
            return None
        data = member.unused_data
    return bytes(out[:_ENOUGH])


def check_records(data: bytes) -> None:
    """Framing and meaning of pax records: nothing but Damage and limits, and no state."""
    try:
        records = paxrecords.split(data)
    except Damage:
        return
    assert b"".join(framed(key, value) for key, value in records) == unpadded(data)
    for step in (paxrecords.interpret, paxrecords.keep_global):
        try:
            step(records)
        except (Damage, LayerFSError):
            continue
    try:
        pax = paxrecords.interpret(records)
    except (Damage, LayerFSError):
        return
    assert pax == paxrecords.interpret(itertools.chain(records))
    assert all(b"\0" not in (name or b"") for name in (pax.path, pax.linkpath))
    assert all(number is None or number >= 0 for number in (pax.size, pax.uid, pax.gid))


def framed(key: bytes, value: bytes) -> bytes:
    return b"%b=%b\n" % (key, value)


def unpadded(data: bytes) -> bytes:
    """The records without their lengths, found by following those."""
    parts, at = [], 0
    while at < len(data):
        space = data.index(b" ", at)
        end = at + int(data[at:space])
        parts.append(data[space + 1 : end])
        at = end
    return b"".join(parts)
