"""The first inputs of each target, from which the corpus has grown: ``python -m tests.fuzz.seeds``.

Every kind of member in every format, made by the layer builder of the suite, which knows nothing of
layerfs's reader or writer.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import zstandard

from conformance import tar
from conformance.layers import (
    BlockDevice,
    CharDevice,
    Dir,
    Fifo,
    File,
    Hardlink,
    Layer,
    Opaque,
    Raw,
    Sparse,
    Symlink,
    Whiteout,
)

from .targets import TARGETS

KINDS = (
    Dir("d/", mode=0o1777), File("d/f", b"content"), Symlink("l", to="../x"),
    Hardlink("h", to="d/f"), Fifo("p"), CharDevice("c", 1, 3), BlockDevice("b", 7, 1),
    Whiteout("d/gone"), Opaque("d"), File("empty", b""),
)  # fmt: skip
SPARSE = Sparse("s", 3000, ((512, b"x" * 512), (2048, b"y" * 7)))


def archives() -> Iterator[tuple[str, bytes]]:
    for form in ("pax", "gnu", "ustar"):
        yield form, Layer(*KINDS, format=form).tar()
    yield "gnu-long", Layer(File("n" * 120, b"1"), Symlink("l", to="t" * 130), format="gnu").tar()
    yield "ustar-prefix", Layer(File("p/" * 60 + "f", b"1"), format="ustar").tar()
    odd = {"user.a=b%": b"\0\n", "user.e": b""}
    yield (
        "pax-all",
        Layer(File("é" * 60, b"", uid=2**31, gid=2**31, mtime_ns=-1_500_000_000, xattrs=odd)).tar(),
    )
    for dialect in ("gnu", "0.0", "0.1", "1.0"):
        yield f"sparse-{dialect}", Layer(replace(SPARSE, dialect=dialect)).tar()
    many = Sparse("m", 8192, tuple((at, b"z" * 512) for at in range(0, 8192, 1024)), dialect="gnu")
    yield "sparse-many", Layer(many).tar()
    yield "global", Layer(Raw(tar.pax([(b"uid", b"7")], b"g")), File("a", b"1")).tar()
    plain = Layer(File("v7", b"1"), Dir("w/"), format="ustar").tar()
    yield "v7", tar.edit(tar.edit(plain, "magic", bytes(8)), "magic", bytes(8), at=1024)


def inputs() -> Iterator[tuple[str, str, bytes]]:
    """Yield (target, name, bytes)."""
    for name, data in archives():
        yield "archive", name, data
    yield "records", "plain", tar.record(b"path", b"a/b") + tar.record(b"mtime", b"1.25")
    yield (
        "records",
        "xattrs",
        tar.record(b"SCHILY.xattr.user.a", b"\0") + tar.record(b"LIBARCHIVE.xattr.user%2Eb", b"YQ"),
    )
    yield "records", "sparse", tar.record(b"GNU.sparse.map", b"0,1") + tar.record(b"uid", b"")
    data = b"layer " * 50
    yield "gzip", "one", gzip.compress(data, mtime=0)
    yield "gzip", "two", gzip.compress(data, mtime=0) + gzip.compress(b"", mtime=0)
    yield "gzip", "named", b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff\x02\0ab" + b"n\0c\0\0\0"
    frame = zstandard.ZstdCompressor(write_checksum=True).compress
    yield "zstd", "one", frame(data)
    yield "zstd", "two", frame(data) + b"\x50\x2a\x4d\x18\x03\0\0\0abc" + frame(b"")
    yield "zstd", "repeated", frame(bytes(200_000))


def main() -> None:
    for target, name, data in inputs():
        folder: Path = TARGETS[target].corpus
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
