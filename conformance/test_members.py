"""Members that meet: of one name, of one inode, in one directory; and what they must not change.

How an archive spells its members is the matter of ``test_headers.py``.
"""

from dataclasses import replace

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import (
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
    Whiteout,
)
from conformance.tar import Header, encode
from conformance.test_applying import ACL, ATTRIBUTES, CAPABILITY, NOBODY, OVER

HARDLINKS = "image-spec layer.md, Hardlinks"
ROOT = "image-spec layer.md, Populate Initial Filesystem: ./"
#: acl(5): named users and groups, large ids among them, and a mask that takes from them.
NAMED = ACL[:4] + b"".join(
    tag.to_bytes(2, "little") + permissions.to_bytes(2, "little") + who.to_bytes(4, "little")
    for tag, permissions, who in [
        (1, 6, NOBODY), (2, 7, 0), (2, 4, 1), (2, 5, 1000), (4, 7, NOBODY), (8, 6, 5),
        (16, 5, NOBODY), (32, 4, NOBODY),
    ]
)  # fmt: skip


@clause("APL-101", MUST, f"{HARDLINKS}; PROTOCOL.md, 3.2 and 3.7")
@pytest.mark.parametrize(
    "entries",
    [
        [File("a", b"old"), Hardlink("b", to="a"), File("a", b"new"), Hardlink("c", to="a")],
        [File("a"), Hardlink("b", to="a"), Dir("a"), File("a/f"), Hardlink("c", to="a/f")],
        [Dir("d"), File("d/a"), Hardlink("b", to="d/a"), Symlink("d", to="nowhere")],
        [Dir("d"), File("d/a"), Hardlink("d", to="d/a")],
        [File("a"), Hardlink("b", to="a"), Hardlink("b", to="a"), Hardlink("a", to="b")],
        [File("a"), File("b"), Hardlink("a", to="b"), Hardlink("b", to="a"), Hardlink("c", to="b")],
        [File("1"), Hardlink("a/2", to="1"), Hardlink("b/3", to="a/2"), Hardlink("4", to="b/3")],
    ],
    ids=[
        "a file takes its place", "a directory takes its place", "its directory is replaced",
        "it replaces its directory", "made twice", "to each other", "a chain across directories",
    ],
)  # fmt: skip
def test_a_hard_link_names_what_was_there_at_that_moment(subject, entries):
    """A hard link is to the file that the name has where the link stands, whatever comes later."""
    layer = Layer(*entries)

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-102", SHOULD, f"{HARDLINKS}; link(2): one inode. GNU tar and libarchive do so")
def test_the_header_of_a_hard_link_says_nothing_of_the_file(subject):
    """Mode, time and attributes in the header of a hard link do not replace those of its target."""
    link = Header(b"b", b"1", mode=0o777, mtime_ns=5 * 10**9, linkname=b"a")
    link = replace(link, xattrs={"user.of": b"the link"})
    file = File("a", mode=0o4711, xattrs={"user.of": b"the file"})

    tree = subject.tree(Layer(file, Raw(encode(link, "pax"))))
    assert tree == model.apply(Layer(file, Hardlink("b", to="a")))


@clause("APL-103", MUST, f"{ATTRIBUTES}: mtime; PROTOCOL.md, 3.2")
@pytest.mark.parametrize(
    "late",
    [
        [File("d/late")],
        [Hardlink("d/late", to="elsewhere/f")],
        [Symlink("d/late", to="x")],
        [Dir("d/late", mtime_ns=9)],
        [Whiteout("d/hidden")],
        [File("d/old", b"again")],
        [Dir("d/old")],
        [File("d/sub", b"no directory any more")],
        [File("through/late")],
    ],
    ids=[
        "file", "hard link", "symlink", "directory", "whiteout", "file again",
        "directory for a file", "file for a directory", "through a symlink",
    ],
)  # fmt: skip
def test_a_directory_keeps_its_time_however_late_it_changes(subject, late):
    """A directory's time is its entry's, though the archive comes back to it after others."""
    base = Layer(Dir("d"), File("d/hidden"))
    upper = Layer(
        Dir("d", mtime_ns=1),
        File("d/old"),
        Dir("d/sub", mtime_ns=2),
        File("d/sub/f"),
        Symlink("through", to="d"),
        Dir("elsewhere", mtime_ns=3),
        File("elsewhere/f"),
        *late,
        File("last"),
    )

    assert subject.tree(base, upper) == model.apply(base, upper)


def _kinds(name):
    """Return one of each kind of entry, each of this name; the last has the entries before."""
    return {
        "file": [File(name, b"of %d bytes" % len(name), mode=0o600)],
        "directory": [Dir(name, mode=0o711, mtime_ns=7), File(f"{name}/child")],
        "symlink": [Symlink(name, to="full")],
        "dangling": [Symlink(name, to="nowhere")],
        "hard link": [Hardlink(name, to="file")],
        "fifo": [Fifo(name, mode=0o640)],
        "parent": [File(f"{name}/of/this")],
    }


@clause("APL-104", MUST, "PROTOCOL.md, 3.2; GNU tar manual: the last one wins")
@pytest.mark.parametrize("first", [kind for kind in _kinds("") if kind != "parent"])
def test_the_last_entry_wins_whatever_the_kinds(subject, first):
    """Of two entries of one name the later one counts, for every pair of kinds."""
    entries = [Dir("full"), File("full/inside"), File("file", b"linked")]
    for kind in _kinds(""):
        if kind == "parent" and first != "directory":
            continue  # a name below something that is no directory is another matter
        name = f"{first}, {kind}"
        entries += [*_kinds(name)[first], *_kinds(name)[kind]]
    layer = Layer(*entries)

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-105", MUST, f"{OVER}; image-spec layer.md, Whiteouts")
def test_nothing_of_what_was_replaced_and_deleted_comes_back(subject):
    """A name that was a directory, a file, nothing and a directory has only the last one's."""
    layers = [
        Layer(Dir("d", mode=0o700, xattrs={"user.a": b"1"}), File("d/first"), Dir("d/e"),
              File("d/e/f")),
        Layer(File("d", b"a file")),
        Layer(Whiteout("d")),
        Layer(Dir("d"), File("d/second")),
        Layer(Dir("d"), Whiteout("d/second"), Dir("d/e")),
    ]  # fmt: skip

    for count in range(1, len(layers) + 1):
        assert subject.tree(*layers[:count]) == model.apply(*layers[:count])


@clause("APL-106", MUST, "path_resolution(7): names are bytes; PROTOCOL.md, 1")
@pytest.mark.parametrize(
    "names",
    [
        ["caf\u00e9", "cafe\u0301"],
        ["\u1112\u1161\u11ab", "\ud55c"],
        ["readme", "README", "ReadMe"],
        ["stra\u00dfe", "STRASSE", "strasse"],
        ["a", "a ", " a", "a.", "A", "\uff41", "a\u200d"],
        ["\udcc3\udca9x"[:1], "\u00e9", "\udce9"],
    ],
    ids=["composed", "Hangul", "case", "folded", "nearly", "latin"],
)
def test_names_that_only_look_alike_are_different_files(subject, names):
    """Names of different bytes are different, though they are equal to a reader or without case."""
    layer = Layer(
        *(File(name) for name in names),
        *(Dir(f"d-{name}", mtime_ns=at) for at, name in enumerate(names)),
        *(Symlink(f"d-{name}/link", to=name) for name in names),
        *(Hardlink(f"d-{name}/{name}", to=name) for name in names),
    )

    assert subject.tree(layer) == model.apply(layer)


@clause(
    "APL-107",
    MUST,
    f"{ATTRIBUTES}: gid, mode; inode(7): a set-group-ID directory",
    target_needs=("can_chown_ids",),
)
def test_nothing_is_inherited_from_a_directory_with_setgid(subject):
    """What lies in a setgid directory has its own group and mode, missing parents included."""
    layer = Layer(
        Dir("d", mode=0o2775, uid=1000, gid=1000),
        File("d/f"),
        Dir("d/e"),
        File("d/e/f", gid=5),
        Symlink("d/l", to="f"),
        Fifo("d/p"),
        File("d/missing/parent/f"),
        Dir("d/own", mode=0o2700, gid=7),
        File("d/own/f"),
    )

    assert subject.tree(layer) == model.apply(layer)


@clause(
    "APL-108",
    SHOULD,
    f"{ATTRIBUTES}: xattrs; acl(5), Object creation and default ACLs",
    target_needs=("posix_acl", "can_chown_ids"),
)
def test_access_control_lists_are_those_of_the_entry_alone(subject):
    """Lists with users and groups are kept with a changed owner, and defaults are not inherited."""
    default = {"system.posix_acl_default": NAMED}
    layer = Layer(
        Dir("d", mode=0o754, xattrs=default),
        File("d/f", mode=0o640),
        Dir("d/e"),
        Fifo("d/p", mode=0o666),
        File("d/missing/parent/f"),
        File("d/g", mode=0o654, uid=1000, gid=5, xattrs={"system.posix_acl_access": NAMED}),
        Hardlink("d/h", to="d/g"),
    )

    assert subject.tree(layer) == model.apply(layer)


@clause(
    "APL-109",
    MUST,
    f"{ATTRIBUTES}: xattrs, uid, gid; chown(2): clears set-user-ID and capabilities",
    target_needs=("file_capabilities", "can_chown_ids"),
)
def test_capabilities_and_setuid_survive_owners_and_second_names(subject):
    """A file that belongs to another user keeps capability and setuid bits, under each name."""
    xattrs = {"security.capability": CAPABILITY, "user.note": b"1"}
    ping = File("bin/ping", mode=0o6755, uid=1000, gid=100, xattrs=xattrs)
    layer = Layer(Dir("bin"), ping, Dir("sbin"), Hardlink("sbin/ping", to="bin/ping"))

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-110", MUST, f"{ATTRIBUTES}: xattrs; xattr(7)")
def test_empty_files_and_directories_have_their_attributes(subject):
    """Extended attributes, empty ones too, are kept on empty files, directories and hard links."""
    xattrs = {"user.empty": b"", "user.zero": b"\0", "user.text": b"text\0text"}
    layer = Layer(
        File("empty", b"", xattrs=xattrs),
        Dir("directory", xattrs=xattrs),
        File("replaced", xattrs={"user.old": b"1"}),
        File("replaced", b"", xattrs=xattrs),
        Dir("twice", xattrs={"user.old": b"1"}),
        Dir("twice", xattrs=xattrs),
        File("unreadable", b"x", mode=0, xattrs=xattrs),
        Hardlink("second name", to="empty"),
    )

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-111", MUST, f"{ATTRIBUTES}: xattrs; xattr(7)", target_needs=("trusted_xattrs",))
def test_trusted_attributes_of_any_kind_of_file_are_its_own(subject):
    """Symlinks and fifos have the attributes of their entries, and their targets none of them."""
    layer = Layer(
        File("target"),
        Symlink("to-a-file", to="target", xattrs={"trusted.of": b"a symlink"}),
        Symlink("dangling", to="nowhere", xattrs={"trusted.of": b"nothing"}),
        Fifo("fifo", xattrs={"trusted.of": b"a fifo"}),
        Hardlink("second", to="to-a-file"),
    )

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-112", MUST, f"{ATTRIBUTES}: mode, mtime; mknod(2): the umask")
def test_fifos_have_their_mode_and_time(subject):
    """A fifo has the mode and the time of its entry, like any file, under whatever umask."""
    modes = [0o666, 0o622, 0o4777, 0o000, 0o1640]
    layer = Layer(*(Fifo(f"{mode:o}", mode=mode, mtime_ns=mode + 1) for mode in modes))

    assert subject.tree(layer) == model.apply(layer)
    assert subject.under("umask 0027").tree(layer) == model.apply(layer)


@clause(
    "APL-113",
    MUST,
    f"{ATTRIBUTES}; makedev(3); image-spec layer.md, File Types",
    needs=("devices",),
    target_needs=("can_mknod_device",),
)
def test_devices_have_all_that_their_entries_say(subject):
    """A device has its mode, owner, time, links and numbers, up to the largest that Linux has."""
    numbers = [(0, 1), (4095, 1048575), (255, 256), (1, 65536)]
    layer = Layer(
        *(CharDevice(f"c{n}", *pair, mode=0o666) for n, pair in enumerate(numbers)),
        *(BlockDevice(f"b{n}", *pair, mode=0o660) for n, pair in enumerate(numbers)),
        BlockDevice("zero", 0, 0, mode=0o6640, uid=1000, gid=6, mtime_ns=1),
        Hardlink("again", to="c1"),
    )

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-114", SHOULD, "GNU tar manual, Storing Sparse Files: holes are not written")
@pytest.mark.parametrize("dialect", ["gnu", "0.0", "0.1", "1.0"])
def test_holes_stay_holes(subject, host, dialect):
    """A sparse file of 16 MiB with two pages of data takes no more than a mebibyte of the disk."""
    pieces = ((4096, b"a" * 4096), (10 << 20, b"b" * 4096))
    form = "gnu" if dialect == "gnu" else "pax"
    layer = Layer(Sparse("s", 16 << 20, pieces, dialect), format=form)
    before = host.usage(subject.store)

    with subject.stacked(layer) as root:
        assert host.tree(root) == model.apply(layer)
        assert host.usage(root) < 1 << 20
        assert host.usage(subject.store) - before < 4 << 20


@clause("APL-115", SHOULD, f"{ROOT}; PROTOCOL.md, 3.2", target_needs=("can_chown_ids",))
@pytest.mark.parametrize("position", ["first", "last"])
def test_the_root_has_all_that_its_entry_says(subject, position):
    """The root has owner, mode, time and attributes of its topmost entry, wherever that stands."""
    entry = Dir("./", mode=0o1711, uid=5, gid=6, mtime_ns=7, xattrs={"user.root": b"1"})
    others = [Dir("./d"), File("./d/f"), File("g")]
    base = Layer(entry, *others) if position == "first" else Layer(*others, entry)
    upper = Layer(Dir("/", mode=0o750, mtime_ns=8, xattrs={"user.root": b"2"}), File("h"))

    for layers in ([base], [base, Layer(File("h"))], [base, upper]):
        tree, expected = subject.tree(*layers), model.apply(*layers)
        assert tree == expected
        assert tree["."] == expected["."]


@clause("APL-116", MUST, "PROTOCOL.md, 3.2 and 3.6; image-spec layer.md, Hardlinks")
def test_a_large_layer_is_like_a_small_one(subject):
    """In a layer of a thousand entries too, the last entry of a name and its links count."""
    names = [f"d{n % 40}/f{n}" for n in range(1200)]
    layer = Layer(
        *(File(name, b"first") for name in names),
        *(File(name, b"second", mtime_ns=n) for n, name in enumerate(names) if n % 7 == 0),
        *(Hardlink(f"links/{n}", to=name) for n, name in enumerate(names) if n % 5 == 0),
        *(Symlink(name, to="x", mtime_ns=n) for n, name in enumerate(names) if n % 11 == 0),
        *(Dir(f"d{n}", mode=0o750, mtime_ns=n) for n in range(0, 40, 2)),
        File("d1", b"where a directory was"),
    )

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-117", MUST, "symlink(7): any text but the empty one; image-spec layer.md, File Types")
def test_the_text_of_a_symlink_is_kept_byte_for_byte(subject):
    """A symlink reads just what the archive says: nothing is shortened, joined or resolved."""
    texts = [
        "a/", "a//b", "./a", "a/.", ".", "..", "a/../b", "/", "//a", "/../a", "~", " ", "$HOME",
        "\udcff/\udcfe", "new\nline", "cafe\u0301", "x" * 255 + "/y", "z/" * 2047 + "z",
    ]  # fmt: skip
    layer = Layer(*(Symlink(f"l{n}", to=text) for n, text in enumerate(texts)))

    assert subject.tree(layer) == model.apply(layer)


@clause("APL-118", MUST, "POSIX.1-2017 pax, ustar Interchange Format: whole blocks of 512 bytes")
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_files_of_every_length_are_whole(subject, compression):
    """Content is exact for lengths about those of blocks and of common buffers."""
    around = [0, 512, 1024, 4096, 10240, 32768, 65536, 131072, 1 << 20]
    sizes = sorted({max(0, size + by) for size in around for by in (-1, 0, 1)})
    text = bytes(range(251)) * (1 + (1 << 20) // 251 + 1)
    layer = Layer(*(File(f"f{size}", text[:size]) for size in sizes), compression=compression)

    assert subject.tree(layer) == model.apply(layer)
