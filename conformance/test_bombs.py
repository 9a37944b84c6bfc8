"""Bombs: layers that ask for more than their bytes are worth, and the limits that stop them.

Each case goes exactly as far as the limit that the subject declares (or takes, where that is too
far: ``bounds.py``), and one step beyond. What is beyond is refused as limit-exceeded; nothing of it
stays in the store, and a canary beside it is not touched.
"""

import gzip

import pytest
import zstandard

from conformance import model
from conformance.bounds import FAR_BYTES, FAR_COUNT, beyond, refused, within_reach
from conformance.clauses import MUST, clause
from conformance.layers import (
    Dir,
    File,
    Hardlink,
    Layer,
    Opaque,
    Raw,
    Sparse,
    Symlink,
    Whiteout,
)
from conformance.tar import BLOCK, END, Header, encode, padded, pax, record

LIMITS = "PROTOCOL.md, 9, Limits"
SPARSE = "GNU tar manual, Storing Sparse Files"
DIALECTS = ["gnu", "0.0", "0.1", "1.0"]
MIB = 1 << 20
#: Deflate comes to 1030 times, but not with every member's header.
RATIO_FAR = {"max_ratio": 900, "ratio_floor_bytes": FAR_BYTES}
RATIO_NEAR = {"max_ratio": 50, "ratio_floor_bytes": MIB}


def bomb(id_, source, **more):
    """Return the mark of a clause of this profile."""
    return clause(id_, MUST, source, profile="hostile", **more)


def pressed(compression, data):
    """Compress as far as it goes."""
    if compression == "gzip":
        return gzip.compress(data, 9, mtime=0)
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(data)


def skip_without(subject, compression):
    """Skip for a subject that does not take this compression."""
    if compression == "zstd" and not subject.raw.config.declares("zstd"):
        pytest.skip("the subject does not declare the capability zstd")


# --- compression --------------------------------------------------------------------------------


@bomb("HST-101", f"{LIMITS}: max_ratio; RFC 1951, 3.2.5; RFC 8878, 3.1.1.2.2: RLE_Block")
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("where", ["in a file", "behind the end"])
def test_a_blob_that_expands_beyond_its_ratio_is_refused(subject, host, compression, where):
    """A blob that expands beyond the declared ratio is refused, wherever in the archive."""
    skip_without(subject, compression)
    with within_reach(subject, RATIO_FAR, RATIO_NEAR) as (narrow, limits):
        zeros = bytes(limits["ratio_floor_bytes"] + MIB)
        layer = Layer(File("f", zeros)) if where == "in a file" else Layer(File("f"), end=zeros)
        layer = layer.as_blob(compression, pressed(compression, layer.tar()))

        with beyond(narrow, host, "max_ratio", limits["max_ratio"]):
            narrow.stack(layer)


@bomb("HST-102", f"{LIMITS}: max_ratio, over the whole stream; RFC 1952, 2.2; RFC 8878, 3.1")
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_the_ratio_is_that_of_the_stream_and_not_of_its_parts(subject, host, compression):
    """A bomb in many small gzip members or zstd frames is refused as one in a single one is."""
    skip_without(subject, compression)
    with within_reach(subject, RATIO_FAR, RATIO_NEAR) as (narrow, limits):
        size = limits["ratio_floor_bytes"] + MIB
        layer = Layer(File("f", bytes(size)))
        whole = layer.tar()
        parts = [whole[:MIB], *[bytes(MIB)] * (size // MIB - 1)]
        parts.append(whole[len(parts) * MIB :])
        packed = {part: pressed(compression, part) for part in set(parts)}

        with beyond(narrow, host, "max_ratio", limits["max_ratio"]):
            narrow.stack(layer.as_blob(compression, b"".join(packed[part] for part in parts)))


@bomb("HST-103", f"{LIMITS}: ratio_floor_bytes")
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_the_ratio_does_not_count_below_its_floor(subject, compression):
    """A blob of any ratio is taken when it is not larger than the floor, which it may reach."""
    skip_without(subject, compression)
    far = {"max_ratio": 900, "ratio_floor_bytes": 2 * MIB}
    with within_reach(subject, far, RATIO_NEAR) as (narrow, limits):
        room = max(limits["ratio_floor_bytes"], 3 * BLOCK) - BLOCK - len(END)
        layer = Layer(File("f", bytes(room)))
        layer = layer.as_blob(compression, pressed(compression, layer.tar()))

        assert narrow.tree(layer) == model.apply(layer)


@bomb("HST-104", "image-spec layer.md, +gzip Media Types; PROTOCOL.md, add")
def test_what_is_compressed_twice_is_unpacked_once(subject, host):
    """A compressed file in a layer is content as any other; a layer compressed twice is none."""
    inner = pressed("gzip", pressed("gzip", Layer(File("evil", bytes(16 * MIB))).tar()))
    layer = Layer(File("bomb.tar.gz", inner), File("bomb.zst", pressed("zstd", bytes(16 * MIB))))
    assert subject.tree(layer.compressed("gzip")) == model.apply(layer)

    twice = Layer(Raw(layer.compressed("gzip").blob()), end=b"", compression="gzip")
    with refused(subject, host, "validation-error"):
        subject.tree(twice)


@bomb("HST-105", f"{LIMITS}: max_output_bytes")
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("where", ["in a file", "behind the end"])
def test_an_archive_is_no_longer_than_the_limit(subject, host, compression, where):
    """An archive of exactly the largest length is taken, and one block more is refused."""
    near = {"max_output_bytes": MIB}
    with within_reach(subject, {"max_output_bytes": FAR_BYTES}, near) as (narrow, limits):
        most = limits["max_output_bytes"]
        room = most - BLOCK - len(END)
        largest = Layer(File("f", b"x" * room), compression=compression)
        longer = Layer(File("f", b"x" * (room + 1)), compression=compression)
        if where == "behind the end":
            longer = Layer(*largest.entries, end=END + bytes(BLOCK), compression=compression)
        assert len(largest.tar()) == most

        assert narrow.tree(largest) == model.apply(largest)
        with beyond(narrow, host, "max_output_bytes", most):
            narrow.tree(longer)


# --- numbers of things --------------------------------------------------------------------------


@bomb("HST-106", f"{LIMITS}: max_members")
@pytest.mark.parametrize(
    "last",
    [
        File("last"), Dir("last"), Symlink("last", to="x"), Hardlink("last", to="f0"),
        Whiteout("gone"), Opaque("."), File("f0"),
    ],
    ids=["file", "directory", "symlink", "hard link", "whiteout", "opaque", "one name again"],
)  # fmt: skip
def test_entries_of_every_type_count_up_to_the_limit(subject, host, last):
    """As many entries as are allowed are taken, whatever they are, and one more is refused."""
    near = {"max_members": 20}
    with within_reach(subject, {"max_members": FAR_COUNT}, near) as (narrow, limits):
        most = limits["max_members"]
        first, *files = [File(f"f{n}") for n in range(most)]
        full = Layer(first, last, *files[: most - 2], compression="gzip")

        assert narrow.tree(full) == model.apply(full)
        with beyond(narrow, host, "max_members", most):
            narrow.tree(Layer(first, last, *files, compression="gzip"))


@bomb("HST-107", f"{LIMITS}: max_depth")
@pytest.mark.parametrize("how", ["directories", "implied", "whiteout", "through a symlink"])
def test_directories_are_no_deeper_than_the_limit(subject, host, how):
    """A tree as deep as is allowed is taken, and a directory more in depth is refused."""
    with within_reach(subject, {"max_depth": 1000}, {"max_depth": 16}) as (narrow, limits):
        most = limits["max_depth"]

        def deep(depth):
            path = "/".join(["d"] * depth)
            return {
                "directories": Layer(*[Dir("/".join(["d"] * n)) for n in range(1, depth + 1)]),
                "implied": Layer(File(f"{path}/f")),
                "whiteout": Layer(Whiteout(f"{path}/f")),
                "through a symlink": Layer(
                    Dir(path[:-2]), Symlink("l", to=path[:-2]), File("l/d/f")
                ),
            }[how]

        assert narrow.tree(deep(most)) == model.apply(deep(most))
        with beyond(narrow, host, "max_depth", most):
            narrow.tree(deep(most + 1))


@bomb("HST-108", f"{LIMITS}: max_implicit_bytes")
def test_implied_directories_are_limited_together(subject, host):
    """Names that imply ever more directories are refused, though each is a short header."""
    near = {"max_implicit_bytes": 10_000}
    with within_reach(subject, {"max_implicit_bytes": 2 * MIB}, near) as (narrow, limits):
        most = limits["max_implicit_bytes"]
        path = "/".join(["d"] * 45)
        few = Layer(File(f"{path}/f"))

        assert narrow.tree(few) == model.apply(few)
        with beyond(narrow, host, "max_implicit_bytes", most):
            narrow.tree(Layer(*[File(f"{n}/{path}/f") for n in range(most // 1000)]))


# --- headers ------------------------------------------------------------------------------------


def comment(size):
    """Return one record of ``size`` bytes that says nothing."""
    value = b"x" * (size - len(record(b"comment", b"x" * (size - 20))) + size - 20)
    assert len(record(b"comment", value)) == size
    return b"comment", value


def long_name(flag, size):
    """Return a GNU long name ``f`` whose data have ``size`` bytes, nearly all of them NULs."""
    header = encode(Header(b"././@LongLink", flag, size=size), "gnu")
    return header + padded(b"f".ljust(size, b"\0"))


@bomb("HST-109", f"{LIMITS}: max_header_bytes; POSIX.1-2017 pax; GNU tar manual, Basic Tar Format")
@pytest.mark.parametrize("flag", ["x", "g", "L", "K"])
def test_an_extended_header_is_no_longer_than_the_limit(subject, host, flag):
    """One extended header, long name or long link name may be as long as the limit, not longer."""
    near = {"max_header_bytes": 8192}
    with within_reach(subject, {"max_header_bytes": FAR_BYTES // 8}, near) as (narrow, limits):
        most = limits["max_header_bytes"]

        def headed(size):
            kind = flag.encode()
            raw = long_name(kind, size) if flag in "LK" else pax([comment(size)], kind)
            entry = Symlink("f", to="f") if flag == "K" else File("f")
            form = "gnu" if flag in "LK" else "pax"
            return Layer(Raw(raw), entry, format=form, compression="gzip"), Layer(entry)

        layer, plain = headed(most)
        assert narrow.tree(layer) == model.apply(plain)
        with beyond(narrow, host, "max_header_bytes", most):
            narrow.tree(headed(most + 1)[0])


@bomb("HST-110", f"{LIMITS}: max_global_bytes; POSIX.1-2017 pax, typeflag g")
def test_global_headers_are_limited_together(subject, host):
    """Global headers that say more together than is allowed are refused, though each is short."""
    near = {"max_global_bytes": 4000}
    with within_reach(subject, {"max_global_bytes": 4 * MIB}, near) as (narrow, limits):
        most = limits["max_global_bytes"]
        headers = [
            Raw(pax([(b"SCHILY.xattr.user.%d" % n, b"v" * 1000)], b"g"))
            for n in range(most // 1000 + 1)
        ]

        with beyond(narrow, host, "max_global_bytes", most):
            narrow.tree(Layer(*headers, File("f"), compression="gzip"))


@bomb("HST-111", f"{LIMITS}: max_path_bytes; path_resolution(7), PATH_MAX")
@pytest.mark.parametrize("form", ["pax", "gnu"])
@pytest.mark.parametrize("what", ["a file", "a hard link's target"])
def test_a_path_is_no_longer_than_the_limit(subject, host, form, what):
    """A path as long as the limit is taken; a longer one, or a link to a longer one, is refused."""
    far, near = {"max_path_bytes": 4095}, {"max_path_bytes": 1000}
    with within_reach(subject, far, near) as (narrow, limits):
        most = limits["max_path_bytes"]
        longest = "/".join(["d" * 200] * ((most - 2) // 201))
        longest += "/" + "f" * (most - len(longest) - 1)
        layer = Layer(File(longest), Hardlink("h", to=longest), format=form)
        longer = {
            "a file": File(f"{longest}x"),
            "a hard link's target": Hardlink("h", f"{longest}x"),
        }

        assert narrow.tree(layer) == model.apply(layer)
        with beyond(narrow, host, "max_path_bytes", most):
            narrow.tree(Layer(File(longest), longer[what], format=form))


@bomb("HST-112", f"{LIMITS}: max_xattr_name_bytes, max_xattr_value_bytes; xattr(7)")
@pytest.mark.parametrize("what", ["name", "value"])
def test_an_extended_attribute_is_no_larger_than_the_limit(subject, host, what):
    """An attribute whose name or value is longer than the limit refuses its layer."""
    name = f"max_xattr_{what}_bytes"
    with within_reach(subject, {name: 1 << 17}, {name: 200}) as (narrow, limits):
        most = limits[name]
        xattr = (
            {"user." + "n" * (most - 4): b"v"} if what == "name" else {"user.n": bytes(most + 1)}
        )

        for entry in (File("f", xattrs=xattr), Dir("d", xattrs=xattr)):
            with beyond(narrow, host, name, most):
                narrow.tree(Layer(entry))


@bomb("HST-113", f"{LIMITS}: max_xattrs_bytes; listxattr(2)")
@pytest.mark.parametrize("kind", ["SCHILY", "LIBARCHIVE"])
def test_the_attributes_of_one_entry_are_limited_together(subject, host, kind):
    """Attributes that are larger together than the limit refuse their layer, however small each."""
    near = {"max_xattrs_bytes": 1000}
    with within_reach(subject, {"max_xattrs_bytes": 2 * MIB}, near) as (narrow, limits):
        most = limits["max_xattrs_bytes"]
        # Base64 of 240 bytes; a reader that ignores this form has to honour the other.
        value = b"v" * 240 if kind == "SCHILY" else b"QUFB" * 80
        records = [(f"{kind}.xattr.user.{n}".encode(), value) for n in range(most // 240 + 1)]

        with beyond(narrow, host, "max_xattrs_bytes", most):
            narrow.tree(Layer(Raw(pax(records)), File("f")))


# --- sparse files -------------------------------------------------------------------------------


@bomb("HST-114", f"{LIMITS}: max_sparse_entries; {SPARSE}")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_map_of_a_sparse_file_is_no_longer_than_the_limit(subject, host, dialect):
    """A sparse file may have as many runs as the limit, in each dialect, and not one more."""
    near = {"max_sparse_entries": 50}
    with within_reach(subject, {"max_sparse_entries": 10_000}, near) as (narrow, limits):
        most = limits["max_sparse_entries"]

        def sparse(runs):
            pieces = tuple((1024 * n, b"x" * BLOCK) for n in range(runs))
            form = "gnu" if dialect == "gnu" else "pax"
            size = 1024 * (runs - 1) + BLOCK
            return Layer(Sparse("f", size, pieces, dialect=dialect), format=form)

        assert narrow.tree(sparse(most)) == model.apply(sparse(most))
        with beyond(narrow, host, "max_sparse_entries", most):
            narrow.tree(sparse(most + 1))


@bomb("HST-115", f"{LIMITS}: max_file_bytes; {SPARSE}; reported as moby#5419")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_sparse_file_is_no_larger_than_the_limit(subject, host, dialect):
    """A sparse file that is larger than the limit with its holes is refused, in each dialect."""
    form = "gnu" if dialect == "gnu" else "pax"
    far, near = {"max_file_bytes": 1 << 62}, {"max_file_bytes": 1 << 40}
    with within_reach(subject, far, near) as (narrow, limits):
        most = limits["max_file_bytes"]
        sparse = Sparse("f", most + 1, ((0, b"x" * BLOCK),), dialect=dialect)

        # Not `tree`: whoever takes it would have the suite read all of the hole.
        with beyond(narrow, host, "max_file_bytes", most):
            narrow.stack(Layer(sparse, format=form))


@bomb("HST-116", f"{LIMITS}: max_apparent_bytes; {SPARSE}; reported as moby#5419")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_sparse_files_are_limited_together(subject, host, dialect):
    """Sparse files that are larger together than the limit are refused, though each is not."""
    form = "gnu" if dialect == "gnu" else "pax"
    near = {"max_apparent_bytes": 1 << 30, "max_file_bytes": 1 << 28}
    far = dict.fromkeys(near, 1 << 62)
    with within_reach(subject, far, near) as (narrow, limits):
        most, each = limits["max_apparent_bytes"], limits["max_file_bytes"]
        files = [
            Sparse(f"f{n}", min(each, most), ((0, b"x" * BLOCK),), dialect=dialect)
            for n in range(most // each + 1)
        ]

        with beyond(narrow, host, "max_apparent_bytes", most):
            narrow.stack(Layer(*files, format=form))


# --- limits that are set ------------------------------------------------------------------------


@bomb("HST-117", "PROTOCOL.md, 8, limits", needs=("limits", "session"))
def test_limits_that_cannot_be_are_refused(subject):
    """Limits of an unknown name, of no number, or of one that cannot be, are validation errors."""
    session = subject.by("session")
    with session.raw:
        for limits in ({"max_nonsense": 5}, {"max_layers": 5}, {"max_members": -1}):
            with session.refuses("validation-error"):
                session.call("open", limits=limits)
    subject.expect_service()


@bomb("HST-118", "PROTOCOL.md, 8, limits: until close", needs=("limits", "session"))
def test_limits_hold_until_the_store_is_closed(subject, host):
    """Limits that were set hold for this session, and end with it or with close."""
    if subject.raw.config.limits.max_members is None:
        pytest.skip("the subject declares no limits.max_members")
    layer = Layer(File("a"), File("b"))
    session = subject.by("session")
    with session.raw:
        session.call("open", limits={"max_members": 1})
        for _ in range(2):
            with beyond(session, host, "max_members", 1):
                session.tree(layer)
        assert subject.tree(layer) == model.apply(layer)
        subject.call("remove", digest=layer.digest)
        session.call("close")
        session.call("open")
        assert session.tree(layer) == model.apply(layer)
