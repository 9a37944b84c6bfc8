"""Blobs for the tests of what reads them."""

from __future__ import annotations

import gzip
import hashlib
import random
import threading

import zstandard

from layerfs.compression import BlobReader


def content(size: int = 5_000_000) -> bytes:
    """Half random, half repeated: several pieces on both sides."""
    noise = random.Random(1).randbytes(size // 4)
    return noise + b"layer " * (size // 12) + noise


def packed(data: bytes, kind: str) -> bytes:
    if kind == "gzip":
        return gzip.compress(data, 6)
    return zstandard.compress(data) if kind == "zstd" else data


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def read_all(blob: BlobReader) -> bytes:
    pieces = []
    while piece := blob.read():
        pieces.append(piece)
    return b"".join(pieces)


def helpers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "layerfs-decompress"]
