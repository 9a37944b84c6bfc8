"""The layer builder against readers that are not ours: GNU tar, tarfile, gzip and zstd."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import tarfile

import pytest
import zstandard

from conformance import model, tar
from conformance.layers import (
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

LONG = "/".join(["directory-with-a-long-name"] * 6) + "/" + "x" * 120

EVERY_KIND = (
    Dir("./", mode=0o711),
    Dir("d", mode=0o1777, mtime_ns=1),
    File("d/f", b"hello", mode=0o4750, uid=1000, gid=1001, xattrs={"user.a": b"\x00\xff=\n"}),
    Symlink("d/l", to="../f", mtime_ns=-1_500_000_000),
    Hardlink("d/h", to="d/f"),
    Fifo("p"),
    CharDevice("null", 1, 3),
    File(LONG),
    Symlink("long", to=LONG),
    File("ids", uid=4_294_967_294, gid=3_000_000, mtime_ns=1_234_567_890_987_654_321),
    File("odd\nname \udcff,:\\", b""),
)


def gnu_tar(layer: Layer, *arguments: str) -> bytes:
    done = subprocess.run(
        ["tar", "-f", "-", *arguments], input=layer.tar(), capture_output=True, check=True
    )
    assert done.stderr == b""
    return done.stdout


def test_tarfile_reads_back_every_field_of_every_kind():
    layer = Layer(*EVERY_KIND)

    assert model.apply(Layer.from_tar(layer.tar())) == model.apply(layer)


def test_gnu_tar_lists_every_member_without_a_complaint():
    names = gnu_tar(Layer(*EVERY_KIND), "-t", "--quoting-style=literal", "--null")

    for entry in EVERY_KIND:
        assert os.fsencode(entry.name) in names


@pytest.mark.parametrize("form", ["pax", "gnu", "ustar"])
def test_long_names_survive_in_each_format(form):
    name = LONG[:-60]
    layer = Layer(File(name, b"x"), format=form)

    assert gnu_tar(layer, "-t").decode() == f"{name}\n"
    assert layer.tar().startswith(b"././@LongLink") == (form == "gnu")


def test_a_format_refuses_what_it_cannot_express():
    for entry in (
        File("f", xattrs={"user.a": b"1"}),
        File("f", mtime_ns=1),
        File("f", uid=8**7),
        Symlink("l", to="x" * 101),
        File("x" * 101),
    ):
        with pytest.raises(ValueError, match="cannot express"):
            Layer(entry, format="ustar").tar()


def test_gnu_format_has_numbers_beyond_octal_in_base_256():
    layer = Layer(File("f", uid=3_000_000, mtime_ns=-5 * 10**9), format="gnu")

    with tarfile.open(fileobj=io.BytesIO(layer.tar())) as archive:
        member = archive.getmember("f")
    assert (member.uid, member.mtime) == (3_000_000, -5)


@pytest.mark.parametrize("dialect", ["gnu", "0.0", "0.1", "1.0"])
@pytest.mark.parametrize("count", [0, 1, 4, 5, 40])
def test_gnu_tar_and_tarfile_expand_each_sparse_dialect(dialect, count, tmp_path):
    pieces = tuple((4096 * (2 * n + 1), (b"%03d " % n) * 128 * (n % 3 + 1)) for n in range(count))
    entry = Sparse("s", 400_000, pieces, dialect)
    form = "gnu" if dialect == "gnu" else "pax"
    layer = Layer(entry, File("after"), format=form)

    gnu_tar(layer, "-x", "-C", str(tmp_path))
    assert (tmp_path / "s").read_bytes() == entry.data
    assert (tmp_path / "after").read_bytes() == b"after\n"
    read = model.apply(Layer.from_tar(layer.tar()))
    assert read["s"].sha256 == hashlib.sha256(entry.data).hexdigest()


def test_a_blob_is_what_gzip_and_zstd_make_of_the_tar():
    plain = Layer(File("a", os.urandom(5000)))
    by_gzip, by_zstd = plain.compressed("gzip"), plain.compressed("zstd")

    assert gzip.decompress(by_gzip.blob()) == plain.tar()
    assert zstandard.ZstdDecompressor().decompress(by_zstd.blob()) == plain.tar()
    assert plain.diff_id == plain.digest == by_gzip.diff_id == by_zstd.diff_id
    assert len({plain.digest, by_gzip.digest, by_zstd.digest}) == 3
    assert by_gzip.digest == "sha256:" + hashlib.sha256(by_gzip.blob()).hexdigest()
    assert by_gzip.media_type.endswith("+gzip")


def test_the_same_recipe_is_the_same_blob():
    assert Layer(*EVERY_KIND, compression="gzip").digest == (
        Layer(*EVERY_KIND, compression="gzip").digest
    )


def test_whiteouts_are_named_as_the_specification_says():
    layer = Layer(Whiteout("a"), Whiteout("d/b"), Opaque("d"), Opaque("."))

    names = gnu_tar(layer, "-t").decode().split()
    assert names == [".wh.a", "d/.wh.b", "d/.wh..wh..opq", ".wh..wh..opq"]


@pytest.mark.parametrize(("position", "at"), [("first", 0), ("middle", 1), ("last", 2)])
def test_an_opaque_marker_stands_where_it_is_asked_for(position, at):
    layer = Layer(Dir("d"), File("d/new")).with_opaque("d", position)

    assert isinstance(layer.entries[at], Opaque)


def test_a_hardlink_is_written_with_the_metadata_of_its_target():
    layer = Layer(File("f", mode=0o4711, uid=5), Hardlink("h", to="f"))

    with tarfile.open(fileobj=io.BytesIO(layer.tar())) as archive:
        link = archive.getmember("h")
    assert (link.mode, link.uid, link.size, link.linkname) == (0o4711, 5, 0, "f")


def test_an_edited_header_is_sealed_with_its_checksum_unless_told_otherwise():
    archive = Layer(File("f")).tar()

    renamed = tar.edit(archive, "name", b"../f")
    assert gnu_tar(Layer(Raw(renamed), end=b""), "-t", "-P") == b"../f\n"
    broken = tar.edit(archive, "name", b"g", seal=False)
    with pytest.raises(tarfile.ReadError), tarfile.open(fileobj=io.BytesIO(broken)):
        pass


def test_content_known_only_by_its_hash_cannot_be_written():
    layer = Layer.from_tar(Layer(File("f")).tar())

    with pytest.raises(TypeError, match="only the hash"):
        layer.tar()
