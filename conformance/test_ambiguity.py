"""Archives of which readers disagree what they hold, and maps that lie: refused, or one exact tree.

Where two readers see two different trees in one archive, a layer that one has checked is not the
layer that the other unpacks.
"""

import pytest

from conformance import model
from conformance.bounds import refuses_each
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import File, Layer, Raw, Symlink
from conformance.tar import (
    BLOCK,
    END,
    Header,
    edit,
    encode,
    gnu_sparse,
    padded,
    pax,
    sparse_records,
)

PAX = "POSIX.1-2017 pax, pax Extended Header"
USTAR = "POSIX.1-2017 pax, ustar Interchange Format"
GNU = "GNU tar manual, Basic Tar Format"
SPARSE = "GNU tar manual, Storing Sparse Files"
INVALID = "PROTOCOL.md, validation-error"
DIALECTS = ["gnu", "0.0", "0.1", "1.0"]


def ambiguous(id_, source, level=SHOULD, **more):
    """Return the mark of a clause of this profile."""
    return clause(id_, level, source, profile="hostile", **more)


def long_name(flag, name):
    """Return GNU's header of a long name."""
    data = name + b"\0"
    return encode(Header(b"././@LongLink", flag, size=len(data)), "gnu") + padded(data)


@ambiguous("HST-150", f"{PAX}; {GNU}: one of a kind for each member")
def test_two_extended_headers_for_one_member_are_refused(subject, host):
    """Two extended headers, long names or long link names for one member are refused."""
    layers = {
        "pax": Layer(Raw(pax([(b"path", b"a")]) + pax([(b"path", b"b")])), File("f")),
        "pax of two keys": Layer(Raw(pax([(b"path", b"a")]) + pax([(b"mtime", b"1")])), File("f")),
        "long names": Layer(Raw(long_name(b"L", b"a") + long_name(b"L", b"b")), File("f")),
        "long link names": Layer(
            Raw(long_name(b"K", b"a") + long_name(b"K", b"b")), Symlink("l", to="x")
        ),
    }
    refuses_each(subject, host, layers, "validation-error")


@ambiguous("HST-151", f"{PAX}: path, linkpath; {GNU}: long names")
@pytest.mark.parametrize("order", ["pax first", "GNU first"])
def test_a_gnu_name_and_a_pax_name_must_agree(subject, host, order):
    """A member with two different long names is refused; with the same one twice it is taken."""

    def both(gnu, posix, key, flag, entry):
        headers = [pax([(key, posix)]), long_name(flag, gnu)]
        return Layer(Raw(b"".join(headers if order == "pax first" else headers[::-1])), entry)

    layers = {
        "names": both(b"a", b"b", b"path", b"L", File("f")),
        "link names": both(b"a", b"b", b"linkpath", b"K", Symlink("l", to="x")),
    }
    refuses_each(subject, host, layers, "validation-error")

    agreed = both(b"a", b"a", b"path", b"L", File("f", b"1"))
    tree = subject.tree_or_refusal(agreed, codes=("validation-error",))
    assert tree in (None, model.apply(Layer(File("a", b"1"))))


@ambiguous("HST-152", f"{PAX}: global records affect all that follows")
@pytest.mark.parametrize("key", ["path", "linkpath", "size", "GNU.sparse.map"])
def test_a_global_header_does_not_make_all_members_one(subject, host, key):
    """A global header that gives all members one name, target, size or map is refused."""
    value = {"path": b"x", "linkpath": b"x", "size": b"2", "GNU.sparse.map": b"0,2"}[key]
    layer = Layer(
        Raw(pax([(key.encode(), value)], b"g")), File("a", b"12"), Symlink("l", to="a"), File("b")
    )
    refuses_each(subject, host, {key: layer}, "validation-error")


@ambiguous("HST-153", f"{USTAR}: typeflag; {GNU}: D, M, N and V; Solaris tar: A, E, I and X")
@pytest.mark.parametrize("flag", "ADEIMNVXZ89")
def test_an_entry_of_a_type_that_no_layer_has_is_refused(subject, host, flag):
    """An entry of a vendor's type, or of none, is refused, and never taken for a file."""
    first = Layer(File("a"), end=b"").tar()
    odd = edit(Layer(File("b", b"data")).tar(), "typeflag", flag.encode())

    refuses_each(subject, host, {flag: Layer(Raw(first + odd), end=b"")}, "validation-error")


@ambiguous("HST-154", f"{USTAR}: end-of-archive indicator; {INVALID}")
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_follows_the_end_is_never_unpacked(subject, compression):
    """Bytes behind the end are refused or passed over, members as well, whatever stands between."""
    smuggled = Layer(File("evil", b"evil")).tar()
    kept = model.apply(Layer(File("a")))

    for end in (
        END + smuggled,
        bytes(10240) + smuggled,
        END + b"garbage",
        END + bytes(1 << 20) + b"\1",
        END + pax([(b"path", b"evil")]) + smuggled,
    ):
        layer = Layer(File("a"), end=end, compression=compression)
        tree = subject.tree_or_refusal(layer, codes=("validation-error",))
        assert tree in (None, kept)


@ambiguous("HST-155", f"{USTAR}: a header of zeros; {INVALID}")
def test_a_block_of_zeros_between_members_hides_nothing(subject, host):
    """One block of zeros before a member is no end that some readers see and others do not."""
    archive = Layer(File("a"), end=bytes(BLOCK)).tar() + Layer(File("b")).tar()

    refuses_each(subject, host, {"zeros": Layer(Raw(archive), end=b"")}, "validation-error")


@ambiguous("HST-156", "symlink(2): a target of PATH_MAX is ENAMETOOLONG; PROTOCOL.md, 5", MUST)
@pytest.mark.parametrize("form", ["pax", "gnu"])
def test_the_target_of_a_symlink_is_whole_or_refused(subject, host, form):
    """A symlink's target of 4095 bytes is kept whole; a longer one is refused, and never cut."""
    longest = Layer(Symlink("l", to="t" * 4095), format=form)
    assert subject.tree(longest) == model.apply(longest)

    longer = {f"{n} bytes": Layer(Symlink("l", to="t" * n), format=form) for n in (4096, 70_000)}
    refuses_each(subject, host, longer, "invalid-layer-path", "limit-exceeded", "validation-error")


# --- sparse maps ----------------------------------------------------------------------------------

MAPS = {
    "overlapping": (4096, [(0, 1024), (512, 512)]),
    "backwards": (4096, [(1024, 512), (0, 512)]),
    "the same twice": (4096, [(512, 512), (512, 512)]),
    "beyond the file": (1024, [(0, 512), (1024, 512)]),
    "across the end": (768, [(512, 512)]),
    "more than is stored": (4096, [(0, 512), (1024, 2048)]),
    "less than is stored": (4096, [(0, 512)]),
    "nothing of what is stored": (4096, []),
    "wrapping at 64 bits": (4096, [(2**64 - 512, 512), (0, 512)]),
}


def lying(dialect, size, pieces):
    """Return a sparse file of 1024 stored bytes with this map."""
    data = b"x" * 1024
    if dialect == "gnu":
        header = Header(b"s", b"S", size=len(data))
        return Layer(Raw(gnu_sparse(header, size, pieces) + data))
    records, before = sparse_records(dialect, b"s", size, pieces)
    header = Header(b"s", b"0", size=len(before) + len(data), records=records)
    return Layer(Raw(encode(header, "pax") + before + data))


@ambiguous("HST-157", f"{SPARSE}; {INVALID}")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_sparse_map_that_lies_is_refused(subject, host, dialect):
    """A map whose runs overlap, leave the file or are not what is stored is refused."""
    layers = {name: lying(dialect, size, pieces) for name, (size, pieces) in MAPS.items()}

    refuses_each(subject, host, layers, "validation-error")


@ambiguous("HST-158", f"{SPARSE}: versions 0.0, 0.1 and 1.0; {INVALID}")
def test_records_of_a_sparse_file_that_are_not_whole_are_refused(subject, host):
    """A sparse file without its size, with half a pair, or of an unknown version is refused."""
    data = b"x" * 512

    def sparse(records, stored=data):
        header = Header(b"s", b"0", size=len(stored), records=records)
        return Layer(Raw(encode(header, "pax") + padded(stored)))

    one = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")]
    named = [*one, (b"GNU.sparse.name", b"s"), (b"GNU.sparse.realsize", b"1024")]
    size = (b"GNU.sparse.size", b"1024")
    layers = {
        "no size": sparse([(b"GNU.sparse.map", b"0,512")]),
        "no real size": sparse(one, padded(b"1\n0\n512\n") + data),
        "half a pair": sparse([size, (b"GNU.sparse.map", b"0,512,600")]),
        "another count": sparse(
            [size, (b"GNU.sparse.numblocks", b"2"), (b"GNU.sparse.map", b"0,512")]
        ),
        "no numbers": sparse([size, (b"GNU.sparse.map", b"0,all")]),
        "version 2.0": sparse([(b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0"), size]),
        "a map that ends early": sparse(named, padded(b"3\n0\n512\n") + data),
        "a map of letters": sparse(named, padded(b"one\n0\n512\n") + data),
        "a map without an end": sparse(named, b"1" * 512 + data),
        "offsets out of turn": sparse(
            [size, (b"GNU.sparse.offset", b"0"), (b"GNU.sparse.offset", b"512")]
        ),
    }
    refuses_each(subject, host, layers, "validation-error")
