"""Applying a layer: what the archive says is what the view shows, to the last attribute."""

import struct
from dataclasses import replace

import pytest

from conformance import model
from conformance.bounds import refuses_each
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import (
    MTIME,
    BlockDevice,
    CharDevice,
    Dir,
    Fifo,
    File,
    Hardlink,
    Layer,
    Raw,
    Sparse,
    Symlink,
)
from conformance.tar import END, edit, pax
from harness.tree import Tree

ATTRIBUTES = "image-spec layer.md, File Attributes"
APPLYING = "image-spec layer.md, Applying Changesets"
USTAR = "POSIX.1-2017 pax, ustar Interchange Format"
OVER = "image-spec layer.md, Changeset over existing files"
LONG = "/".join(["a-directory-with-a-name"] * 8)
#: cap_net_raw+ep, as capabilities(7) stores it in version 2.
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
#: acl(5) as xattrs hold it: user rwx, user 0 r-x, group r-x, mask r-x, others ---.
NOBODY = 2**32 - 1
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in [(1, 7, NOBODY), (2, 5, 0), (4, 5, NOBODY), (16, 5, NOBODY), (32, 0, NOBODY)]
)


@clause("APL-001", MUST, "image-spec layer.md, File Types")
@pytest.mark.parametrize(
    "entry",
    [
        File("x", b"content"),
        Dir("x"),
        Symlink("x", to="somewhere"),
        Fifo("x"),
        File("x", b""),
        Symlink("x", to="/absolute/and/dangling"),
        Symlink("x", to="x"),
    ],
    ids=[
        "file",
        "directory",
        "symlink",
        "fifo",
        "empty file",
        "dangling symlink",
        "symlink to itself",
    ],
)
def test_each_type_of_file_is_what_the_archive_says(subject, entry):
    """Files, directories, symlinks and fifos are made as such, symlinks with their very text."""
    layer = Layer(entry)

    assert subject.tree(layer) == model.apply(layer)


@clause(
    "APL-002",
    MUST,
    "image-spec layer.md, File Types",
    needs=("devices",),
    target_needs=("can_mknod_device",),
)
@pytest.mark.parametrize(
    "entry", [CharDevice("x", 1, 3), BlockDevice("x", 259, 70000)], ids=["character", "block"]
)
def test_devices_have_their_numbers(subject, entry):
    """Character and block devices have the major and minor numbers of the archive."""
    layer = Layer(entry)

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-003", MUST, f"{ATTRIBUTES}: mode")
@pytest.mark.parametrize("kind", [File, Dir])
def test_all_twelve_mode_bits_are_kept(subject, kind):
    """Permission bits, setuid, setgid and sticky are those of the archive, whatever the umask."""
    modes = [0o4755, 0o2755, 0o1777, 0o6711, 0o7777, 0o000, 0o640, 0o777]
    layer = Layer(*(kind(f"{mode:o}", mode=mode) for mode in modes))

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-004", MUST, f"{ATTRIBUTES}: uid, gid", target_needs=("can_chown_ids",))
def test_owner_and_group_are_kept_by_number(subject):
    """Owner and group are the archive's numbers, for symlinks too, and setuid bits survive it."""
    layer = Layer(
        Dir("d", uid=1000, gid=100),
        File("d/f", uid=1000, gid=1001, mode=0o6755),
        Symlink("l", to="d", uid=65534, gid=1),
        Fifo("p", uid=1),
    )

    assert subject.tree(layer) == model.apply(layer)


@clause(
    "APL-005",
    MUST,
    f"{ATTRIBUTES}: uid, gid; POSIX.1-2017 pax",
    target_needs=("init_user_namespace",),
)
@pytest.mark.parametrize("form", ["pax", "gnu"])
def test_numbers_beyond_octal_fields_are_kept(subject, form):
    """Ids and times that a header's octal digits cannot hold come from pax records or base 256."""
    layer = Layer(
        File("f", uid=4_000_000_000, gid=3_000_000),
        File("old", mtime_ns=-1_000_000_000 * 10**9),
        format=form,
    )

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-006", MUST, f"{ATTRIBUTES}: mtime")
@pytest.mark.parametrize("kind", ["file", "dir", "symlink"])
def test_times_are_kept_to_the_nanosecond(subject, kind):
    """Modification times are those of the archive to the nanosecond, before 1970 and after 2038."""
    entry = {"file": File("x"), "dir": Dir("x"), "symlink": Symlink("x", to="y")}[kind]
    times = [0, MTIME + 123_456_789, MTIME + 1, -1_500_000_000, 2**33 * 10**9 + 5]
    layer = Layer(*(replace(entry, path=f"x{n}", mtime_ns=ns) for n, ns in enumerate(times)))

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-007", MUST, f"{ATTRIBUTES}: mtime")
def test_a_directory_has_its_own_time_though_entries_came_later(subject):
    """A directory's time is that of its entry, not of the moment its children were made."""
    layer = Layer(Dir("d", mtime_ns=1), Dir("d/e", mtime_ns=2), File("d/e/f"), File("d/g"))

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-008", MUST, "PROTOCOL.md, 3.3; reported as containers-storage#1288, containerd#3017")
def test_parents_that_no_entry_made_have_a_fixed_mode(subject):
    """Directories missing from the archive are made as 0755, owned by 0:0."""
    layer = Layer(File("a/b/c/f"), Dir("a/b", mode=0o700))

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-009", MUST, "PROTOCOL.md, 3.4")
def test_a_layer_without_an_entry_for_a_directory_leaves_it_as_it_is(subject):
    """Adding below a directory without an entry for it changes none of its attributes."""
    base = Layer(Dir("d", mode=0o1770, mtime_ns=7, xattrs={"user.a": b"1"}), Dir("d/e", mode=0o700))
    upper = Layer(File("d/e/new"), File("d/other"))

    assert subject.tree(base, upper) == model.apply(base, upper)


@clause("APL-010", MUST, f"{ATTRIBUTES}: xattrs")
@pytest.mark.parametrize(
    "xattrs",
    [
        {"user.name": b"value", "user.other": b""},
        {"user.binary": bytes(range(256))},
        {"user.newline": b"\n=1 2\n", "user.space d": b" "},
        {"user.large": b"x" * 3000},
        {f"user.{n:03}": b"%d" % n for n in range(60)},
    ],
    ids=["text", "binary", "separators", "large", "many"],
)
def test_extended_attributes_are_kept(subject, xattrs):
    """Extended attributes have the names and the very bytes that the archive gives them."""
    layer = Layer(File("f", xattrs=xattrs), Dir("d", xattrs=xattrs))

    assert subject.tree(layer) == model.apply(layer)


@clause(
    "APL-011",
    MUST,
    f"{ATTRIBUTES}: xattrs; capabilities(7); reported as containers-storage#217",
    target_needs=("file_capabilities",),
)
def test_file_capabilities_survive_the_change_of_owner(subject):
    """A file's security.capability is there though its owner was set, which clears it."""
    layer = Layer(File("ping", mode=0o4755, xattrs={"security.capability": CAPABILITY}))

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-012", MUST, f"{ATTRIBUTES}: xattrs; xattr(7)", target_needs=("trusted_xattrs",))
def test_trusted_attributes_are_kept_where_they_are_allowed(subject):
    """With the privilege to do so, trusted attributes are kept, except those of overlayfs."""
    layer = Layer(File("f", xattrs={"trusted.note": b"1"}), Dir("d", xattrs={"trusted.md5": b"2"}))

    assert subject.tree(layer) == model.apply(layer)


@clause(
    "APL-013",
    SHOULD,
    f"{ATTRIBUTES}: xattrs; acl(5)",
    target_needs=("posix_acl", "can_chown_ids"),
)
def test_access_control_lists_are_kept(subject):
    """POSIX access control lists, which archives carry as attributes, are kept."""
    acl = {"system.posix_acl_access": ACL}
    layer = Layer(
        File("f", mode=0o750, xattrs=acl),
        Dir("d", mode=0o750, xattrs={**acl, "system.posix_acl_default": ACL}),
        File("d/inherits-nothing", mode=0o644),
    )

    assert subject.tree(layer) == model.apply(layer)


@clause(
    "APL-014", MUST, "POSIX.1-2017 pax, ustar Interchange Format; GNU tar manual, Basic Tar Format"
)
@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("ustar", f"{LONG[:140]}/{'x' * 90}"),
        ("gnu", f"{LONG}/{'y' * 255}"),
        ("pax", f"{LONG}/{'z' * 255}"),
        ("pax", "x" * 100),
        ("pax", "x" * 101),
        ("gnu", "x" * 100),
    ],
    ids=["ustar prefix", "gnu", "pax", "pax, 100 bytes", "pax, 101 bytes", "gnu, 100 bytes"],
)
def test_long_names_are_whole(subject, form, name):
    """Names and link texts longer than a header's field are whole, in each of tar's formats."""
    links = [] if form == "ustar" else [Symlink("s", to=name * 3), Hardlink("h", to=name)]
    layer = Layer(File(name), *links, format=form)

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-015", MUST, "PROTOCOL.md, 1; path_resolution(7): any byte but NUL and / is a name's")
@pytest.mark.parametrize(
    "name",
    [
        "grüße-日本", "not utf-8 \udcff\udcfe", "new\nline", "a:b,c\\d", " ", "-rf", "...",
        "*?[$(`'\"", "\x01\x1b[31m\x7f", "é" * 127,
    ],
    ids=[
        "unicode", "not UTF-8", "newline", "colon comma backslash", "space", "option", "dots",
        "shell", "control", "255 bytes",
    ],
)  # fmt: skip
def test_any_name_is_kept_byte_for_byte(subject, name):
    """Names are bytes: files, directories and links have just the name that the archive says."""
    layer = Layer(Dir(name), File(f"{name}/{name}"), Symlink("link", to=name))

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-016", MUST, "PROTOCOL.md, 3.1; image-spec layer.md, Populate Initial Filesystem")
def test_names_are_the_same_with_and_without_a_leading_dot(subject):
    """``./a``, ``a/`` and ``.//a/.`` name the same place as ``a``."""
    layer = Layer(Dir("./"), Dir("./a"), File(".//a/./f"), File("a//g"), Dir("./a/d/"))

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-017", SHOULD, "PROTOCOL.md, 3.2; GNU tar manual: the last one wins")
@pytest.mark.parametrize(
    "entries",
    [
        [File("x", b"first, and longer"), File("x", b"second")],
        [Dir("x"), File("x/child"), File("x", b"file")],
        [File("x"), Dir("x"), File("x/child")],
        [Symlink("x", to="y"), File("x"), File("y")],
        [File("y"), Hardlink("x", to="y"), File("x", b"no longer y")],
        [Dir("x", mode=0o700), File("x/child"), Dir("x", mode=0o711, mtime_ns=9)],
    ],
    ids=[
        "file, file", "directory, file", "file, directory", "symlink, file", "hard link, file",
        "directory, directory",
    ],
)  # fmt: skip
def test_the_last_of_several_entries_of_one_name_counts(subject, entries):
    """A later entry replaces an earlier one; a directory over a directory keeps the children."""
    layer = Layer(*entries)

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-018", MUST, APPLYING)
def test_children_may_stand_before_their_directory(subject):
    """An archive in which children come first gives the same tree, unreadable directories too."""
    layer = Layer(File("d/e/f"), Symlink("d/e/l", to="f"), Dir("d/e", mode=0), Dir("d", mode=0o100))

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-019", MUST, "image-spec layer.md, Hardlinks")
@pytest.mark.parametrize(
    "entries",
    [
        [File("a"), Hardlink("b", to="a"), Hardlink("c", to="b"), Hardlink("d/e", to="c")],
        [Dir("d"), File("d/a", mode=0o4755), Hardlink("b", to="./d/a")],
        [Symlink("a", to="nowhere"), Hardlink("b", to="a")],
        [Fifo("a"), Hardlink("b", to="a")],
        [File("a", xattrs={"user.a": b"1"}, mode=0o600), Hardlink("b", to="/a")],
    ],
    ids=["chain", "from another directory", "to a symlink", "to a fifo", "absolute name"],
)
def test_hard_links_are_one_file(subject, entries):
    """All names of a hard link are one inode with one content and one set of attributes."""
    layer = Layer(*entries)

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-020", MUST, "PROTOCOL.md, 3.7; image-spec layer.md, Hardlinks: may fail")
def test_a_hard_link_to_a_lower_layer_is_made_or_refused(subject):
    """A hard link whose target is only in a lower layer is refused, or has the target's content."""
    base, upper = Layer(File("a", b"below")), Layer(Hardlink("b", to="a"))

    tree = subject.tree_or_refusal(base, upper, codes=("invalid-layer-path",))
    if tree is not None:
        assert tree["b"].sha256 == tree["a"].sha256 == model.apply(base)["a"].sha256


@clause("APL-021", SHOULD, "GNU tar manual, Storing Sparse Files")
@pytest.mark.parametrize("dialect", ["gnu", "0.0", "0.1", "1.0"])
@pytest.mark.parametrize("count", [1, 40])
def test_sparse_files_have_their_whole_content(subject, dialect, count):
    """A sparse file in any of tar's dialects has its full size, its data, and zeros between."""
    pieces = tuple((8192 * n + 4096, b"%04d" % n * 128) for n in range(count))
    form = "gnu" if dialect == "gnu" else "pax"
    layer = Layer(Sparse("s", 1 << 20, pieces, dialect), File("after"), format=form)

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-022", MUST, OVER)
@pytest.mark.parametrize(
    ("below", "above"),
    [
        ([File("x")], [Dir("x"), File("x/y")]),
        ([Dir("x"), File("x/y")], [File("x", b"file")]),
        ([Symlink("x", to="d"), Dir("d"), File("d/y")], [File("x", b"file")]),
        ([Symlink("x", to="d"), Dir("d"), File("d/y")], [Dir("x"), File("x/z")]),
        ([Dir("x"), File("x/y")], [Symlink("x", to="nowhere")]),
        ([File("x", b"old", mode=0o4755, xattrs={"user.a": b"1"})], [File("x", b"new")]),
        ([File("x"), Hardlink("y", to="x")], [File("x", b"new")]),
        ([Fifo("x")], [File("x")]),
    ],
    ids=[
        "directory over file", "file over directory", "file over symlink",
        "directory over symlink", "symlink over directory", "file over file",
        "file over one of two links", "file over fifo",
    ],
)  # fmt: skip
def test_an_entry_replaces_what_lies_below(subject, below, above):
    """An entry takes the place of a lower one of its name, and nothing of that shines through."""
    base, upper = Layer(*below), Layer(*above)

    assert subject.tree(base, upper) == model.apply(base, upper)


@clause("APL-023", MUST, f"{OVER}: both are directories")
def test_a_directory_over_a_directory_replaces_its_attributes(subject):
    """Where both are directories, the upper one's attributes count, and both's children stay."""
    base = Layer(Dir("d", mode=0o700, mtime_ns=1, xattrs={"user.a": b"1"}), File("d/below"))
    upper = Layer(Dir("d", mode=0o1755, mtime_ns=2, xattrs={"user.b": b"2"}), File("d/above"))

    assert subject.tree(base, upper) == model.apply(base, upper)


@clause("APL-024", MUST, "image-spec layer.md, Change Types")
@pytest.mark.parametrize("entries", [[], [Dir("./")]], ids=["no entry", "only the root"])
def test_an_empty_layer_changes_nothing(subject, entries):
    """A layer without entries, as real images have them, can be added and stacked."""
    base, empty = Layer(Dir("d"), File("d/f")), Layer(*entries)

    assert subject.tree(empty) == model.apply(empty)
    assert subject.tree(base, empty) == model.apply(base, empty)


@clause("APL-025", SHOULD, "image-spec layer.md, Populate Initial Filesystem: ./")
def test_the_root_has_the_attributes_of_its_entry(subject):
    """Where a layer has an entry for ``./``, the root of the view has its attributes."""
    base = Layer(Dir("./", mode=0o711, mtime_ns=5), File("f"))
    upper = Layer(File("g"))

    tree = subject.tree(base, upper)
    assert tree == model.apply(base, upper)
    assert tree["."] == model.apply(base)["."]


@clause("APL-026", SHOULD, "PROTOCOL.md, 3.6; umoci and containerd resolve so")
@pytest.mark.parametrize("to", ["usr/lib", "/usr/lib", "../../usr/./lib", "twice"])
def test_an_entry_below_a_symlink_of_its_layer_goes_where_that_leads(subject, to):
    """A name that passes through a symlink of the same layer is resolved inside the root."""
    layer = Layer(
        Symlink("twice", to="usr/lib"),
        Dir("usr"),
        Dir("usr/lib"),
        Symlink("lib", to=to),
        File("lib/x"),
        Dir("lib/d", mode=0o700),
        File("lib/d/y"),
    )

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-027", MUST, "POSIX.1-2017 pax, pax Extended Header: later records take precedence")
def test_records_that_say_nothing_of_the_file_are_passed_over(subject):
    """Global headers, comments and unknown records change nothing; a record outdoes its field."""
    layer = Layer(
        Raw(pax([(b"comment", b"made by hand")], b"g")),
        Raw(pax([(b"comment", b"x" * 2000), (b"VENDOR.key", b"\xff")])),
        File("plain"),
        Raw(pax([(b"path", b"renamed"), (b"mtime", b"1.000000005")])),
        File("field"),
    )

    expected = model.apply(Layer(File("plain"), File("renamed", b"field\n", mtime_ns=10**9 + 5)))
    assert subject.tree(layer) == expected


@clause("APL-028", MUST, f"{USTAR}; PROTOCOL.md, validation-error")
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_an_archive_that_is_cut_off_is_refused(subject, host, compression):
    """An archive that ends within a header or within a member's data is refused as a whole."""
    whole = Layer(File("a", b"x" * 600), File("b", b"y" * 600)).tar()

    lengths = (1, 511, 600, 1023, 1024 + 256, 1536 + 10, 2048 + 100)
    layers = {
        f"{length} bytes of {len(whole)}": Layer(
            Raw(whole[:length]), end=b"", compression=compression
        )
        for length in lengths
    }
    refuses_each(subject, host, layers, "validation-error")


@clause("APL-029", MUST, f"{USTAR}; PROTOCOL.md, validation-error")
@pytest.mark.parametrize(
    ("field", "value", "seal"),
    [
        ("name", b"other", False),
        ("size", b"00000z00000", True),
        ("size", b"-0000000001", True),
        ("size", b"\xff" * 11 + b"\xfe", True),
        ("size", b"\x80" + b"\xff" * 11, True),
        ("mode", b"rwxr-xr", True),
        ("checksum", b"garbage", False),
        ("typeflag", b"\x7f", True),
    ],
    ids=[
        "checksum does not match", "size not octal", "size negative", "size negative in base 256",
        "size beyond all bounds", "mode not octal", "checksum not octal", "unknown type",
    ],
)  # fmt: skip
def test_a_damaged_header_is_refused(subject, field, value, seal):
    """A header whose checksum or numbers are wrong is refused, and never guessed at."""
    archive = edit(Layer(File("a"), File("b")).tar(), field, value, at=1024, seal=seal)

    with subject.refuses("validation-error"):
        subject.tree(Layer(Raw(archive), end=b""))


@clause("APL-030", SHOULD, "GNU tar manual, Basic Tar Format: end-of-archive blocks may be missing")
@pytest.mark.parametrize("end", [b"", bytes(512), bytes(10240)], ids=["none", "one", "twenty"])
def test_an_archive_may_end_at_the_end_of_a_member(subject, end):
    """An archive without its closing zero blocks, or with more of them, is whole."""
    layer = Layer(Dir("d"), File("d/f"), end=end)

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-031", SHOULD, f"{USTAR}: end-of-archive indicator")
def test_what_follows_the_end_of_an_archive_is_never_applied(subject):
    """Members behind the end-of-archive blocks are never applied; the layer may be refused."""
    layer = Layer(File("a"), end=END + Layer(File("smuggled")).tar())

    tree = subject.tree_or_refusal(layer, codes=("validation-error",))
    assert tree in (None, model.apply(Layer(File("a"))))


@clause("APL-032", MUST, f"{ATTRIBUTES}: mode; umask(2)")
def test_the_umask_of_the_caller_does_not_matter(subject):
    """Modes are the archive's, and missing parents 0755, whatever umask the subject is run with."""
    layer = Layer(File("open", mode=0o666), Dir("all", mode=0o777), File("missing/parent/f"))
    strict = subject.under("umask 0077")

    assert strict.tree(layer) == model.apply(layer)


@clause("APL-033", MUST, "PROTOCOL.md, 3.10; user_namespaces(7)", profile="rootless")
def test_owners_that_are_not_mapped_become_the_one_that_is(subject, host):
    """Where only one id is mapped, a layer with other owners is taken, and all is owned by that."""
    layer = Layer(
        Dir("d", uid=1000, gid=1000),
        File("d/f", uid=12, gid=34, mode=0o4755),
        Symlink("l", to="d", uid=65534, gid=65534),
    )
    expected = model.apply(layer)
    if not host.facts["can_chown_ids"]:
        owned = {path: replace(node, uid=0, gid=0) for path, node in expected.items()}
        expected = Tree(owned)

    assert subject.tree(layer) == expected


@clause("APL-034", MUST, "PROTOCOL.md, 3.10; xattr(7)", profile="rootless")
def test_attributes_that_need_a_privilege_are_no_error(subject, host):
    """Attributes that may not be set here are left out; the layer is taken with all the others."""
    layer = Layer(File("f", xattrs={"trusted.note": b"1", "user.note": b"2"}))
    kept = {"user.note": b"2"} | ({"trusted.note": b"1"} if host.facts["trusted_xattrs"] else {})

    assert subject.tree(layer) == model.apply(Layer(File("f", xattrs=kept)))
