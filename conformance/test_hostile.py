"""Hostile layers: whatever the archive says, nothing outside the view's root is touched.

Each case has a canary, a directory beside the store with a file, a directory and a symlink, of
which not even the access time may change. Refusals are exact; where a name can as well be confined
below the root, the tree is.
"""

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import (
    CharDevice,
    Dir,
    Fifo,
    File,
    Hardlink,
    Layer,
    Opaque,
    Raw,
    Symlink,
    Whiteout,
)
from conformance.tar import edit, pax

RESOLVED = "path_resolution(7); PROTOCOL.md, hostile-layer"


def hostile(id_, source, level=MUST, **more):
    """Return the mark of a clause of this profile."""
    return clause(id_, level, source, profile="hostile", **more)


@hostile("HST-001", f"{RESOLVED}: a member's name with ..", SHOULD)
@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "a/../x", "..", "a/..", "./../x", "/../x", "../root-evil/x"]
)
def test_a_name_with_two_dots_is_refused(subject, host, name):
    """A member whose name has a component ``..`` is a hostile layer, wherever it would lead."""
    with host.canary():
        for kind in (File, Dir):
            with subject.refuses("hostile-layer"):
                subject.tree(Layer(Dir("a"), kind(name)))


@hostile("HST-002", "PROTOCOL.md, 3.1")
@pytest.mark.parametrize("prefix", ["", "/", "///"], ids=["one slash", "two", "four"])
def test_an_absolute_name_stays_below_the_root(subject, host, prefix):
    """A member with an absolute name is put below the root, or refused."""
    with host.canary() as outside:
        path = f"{prefix}{outside.path}"
        layer = Layer(File(f"{path}/file", b"evil"), Symlink(f"{path}/new", to="x"))

        tree = subject.tree_or_refusal(layer, codes=("hostile-layer",))
        assert tree in (None, model.apply(layer))


@hostile("HST-003", f"{RESOLVED}: a symlink for a parent; openat2(2), RESOLVE_IN_ROOT", SHOULD)
@pytest.mark.parametrize("entry", [File, Dir, Symlink], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("hops", [1, 3])
def test_a_symlink_to_the_outside_is_never_followed_for_a_parent(subject, host, entry, hops):
    """An entry below a symlink that leads nowhere in its layer is a hostile layer."""
    with host.canary() as outside, subject.refuses("hostile-layer"):
        chain = [Symlink(f"l{n}", to=f"l{n + 1}") for n in range(hops - 1)]
        last = Symlink(f"l{hops - 1}", to=outside.path)
        new = entry("l0/file", to="x") if entry is Symlink else entry("l0/file")
        subject.tree(Layer(*chain, last, new))


@hostile("HST-020", "image-spec layer.md, Whiteouts; PROTOCOL.md, 3.5")
@pytest.mark.parametrize("marker", [Whiteout("l/file"), Opaque("l")], ids=["whiteout", "opaque"])
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_marker_is_never_followed_through_a_symlink(subject, host, marker, order):
    """A whiteout beside a symlink that takes its directory's place hides only what lies below."""
    with host.canary() as outside:
        base = Layer(Dir("l"), File("l/file"), Dir("d"), File("d/file"))
        for to in (outside.path, "d"):
            link = Symlink("l", to=to)
            upper = Layer(marker, link) if order == "before" else Layer(link, marker)
            upper = Layer(Dir("d"), *upper.entries)

            tree = subject.tree_or_refusal(base, upper, codes=("hostile-layer",))
            assert tree in (None, model.apply(base, upper))


@hostile("HST-004", f"{RESOLVED}; openat2(2), RESOLVE_IN_ROOT")
@pytest.mark.parametrize("to", ["../../../../../../../..", "/", "d/../../../.."])
def test_a_symlink_above_the_root_ends_at_the_root(subject, host, to):
    """A symlink that climbs above the root ends at the root, or the layer is refused."""
    layer = Layer(Dir("d"), Symlink("up", to=to), File("up/passwd", b"evil"))

    with host.canary():
        tree = subject.tree_or_refusal(layer, codes=("hostile-layer",))
        assert tree in (None, model.apply(layer))


@hostile("HST-005", RESOLVED)
@pytest.mark.parametrize("first", ["symlink", "directory"])
def test_a_parent_that_changes_its_type_is_looked_at_anew(subject, host, first):
    """A directory that became a symlink is not followed out; what became a directory is one."""
    with host.canary() as outside:
        link = Symlink("d", to=outside.path)
        if first == "symlink":
            layer = Layer(link, Dir("d"), File("d/file", b"evil"))
            assert subject.tree(layer) == model.apply(layer)
        else:
            subject.stays_inside(Layer(Dir("d"), File("d/a"), link, File("d/file", b"evil")))


@hostile("HST-006", "PROTOCOL.md, hostile-layer and invalid-layer-path")
@pytest.mark.parametrize("how", ["relative", "absolute", "through a symlink", "of a directory"])
def test_a_hard_link_to_the_outside_is_refused(subject, host, how):
    """A hard link cannot name a file outside of its layer, nor a directory."""
    with host.canary() as outside:
        layer, codes = {
            "relative": (
                Layer(Hardlink("h", to=f"..{outside.path}/file")),
                ["invalid-layer-path", "hostile-layer"],
            ),
            "absolute": (
                Layer(Hardlink("h", to=f"{outside.path}/file")),
                ["invalid-layer-path", "hostile-layer"],
            ),
            "through a symlink": (
                Layer(Symlink("d", to=outside.path), Hardlink("h", to="d/file")),
                ["invalid-layer-path", "hostile-layer"],
            ),
            "of a directory": (Layer(Dir("d"), Hardlink("h", to="d")), ["hostile-layer"]),
        }[how]
        with subject.refuses(*codes):
            subject.tree(layer)


@hostile("HST-007", f"{RESOLVED}: the last component is never followed")
@pytest.mark.parametrize(
    "entry",
    [
        File("l", b"evil", mode=0o4777, mtime_ns=1),
        Dir("l", mode=0o777, mtime_ns=1),
        Symlink("l", to="elsewhere", mtime_ns=1),
        File("l", b"evil", xattrs={"user.evil": b"1"}),
    ],
    ids=["file", "directory", "symlink", "attributes"],
)
@pytest.mark.parametrize("via", ["symlink", "hard link to it"])
def test_nothing_is_written_or_changed_through_a_symlink(subject, host, entry, via):
    """An entry of a symlink's name replaces it: no write, chmod or utime goes through it."""
    with host.canary() as outside:
        for there in (outside.file, outside.directory):
            link = [Symlink("l", to=there)]
            if via != "symlink":
                link = [Symlink("s", to=there), Hardlink("l", to="s")]
            layer = Layer(*link, entry)
            assert subject.tree(layer) == model.apply(layer)


@hostile(
    "HST-008", f"{RESOLVED}: attributes of a symlink are its own", target_needs=("can_chown_ids",)
)
def test_the_owner_and_time_of_a_symlink_are_its_own(subject, host):
    """Owner and time of a symlink to the outside are set on the symlink, not on its target."""
    with host.canary() as outside:
        link = Symlink("l", to=f"{outside.path}/file", uid=12, gid=34, mtime_ns=56)
        layer = Layer(link, Hardlink("h", to="l"))
        assert subject.tree(layer) == model.apply(layer)


@hostile("HST-009", f"{RESOLVED}; PROTOCOL.md, 3")
@pytest.mark.parametrize(
    "entry", [File("d/file"), Whiteout("d/file"), Opaque("d")], ids=["file", "whiteout", "opaque"]
)
def test_a_symlink_of_a_lower_layer_is_not_followed_out(subject, host, entry):
    """What stands below a lower layer's symlink to the outside stays inside, or is refused."""
    with host.canary() as outside:
        base, upper = Layer(Symlink("d", to=outside.path)), Layer(entry)

        tree = subject.tree_or_refusal(base, upper, codes=("hostile-layer", "invalid-layer-path"))
        assert tree in (None, model.apply(base, upper), model.apply(base))


@hostile("HST-010", "PROTOCOL.md, 3.9; overlayfs, whiteouts and opaque directories")
def test_a_whiteout_device_cannot_be_forged(subject):
    """A character device 0:0, which overlayfs takes for a whiteout, hides nothing."""
    layers = Layer(File("x")), Layer(CharDevice("x", 0, 0))

    tree = subject.tree_or_refusal(*layers, codes=("hostile-layer",))
    assert tree in (None, model.apply(*layers))


MARKS = {
    "opaque": {"overlay.opaque": b"y"},
    "whiteouts": {"overlay.opaque": b"x", "overlay.whiteout": b""},
    "redirect": {"overlay.redirect": b"/other"},
    "metacopy": {"overlay.metacopy": b"", "overlay.redirect": b"/other/f"},
    "origin": {"overlay.origin": b"\x00\xfb\x1d\x00\x01", "overlay.impure": b"y"},
}


@hostile("HST-011", "PROTOCOL.md, 3.8; overlayfs, user xattr")
@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("space", ["trusted", "user"])
def test_marks_of_overlayfs_cannot_be_forged(subject, mark, space):
    """Attributes by which overlayfs marks things change nothing when an archive has them."""
    xattrs = {f"{space}.{name}": value for name, value in MARKS[mark].items()}
    base = Layer(Dir("d"), File("d/below"), File("f", b"below"), Dir("other"), File("other/f"))
    forged = Layer(Dir("d", xattrs=xattrs), File("f", b"above", xattrs=xattrs))
    honest = Layer(Dir("d"), File("f", b"above"))

    tree = subject.tree_or_refusal(base, forged, codes=("hostile-layer",))
    # Where nobody takes them for marks they may also be attributes like any other.
    assert tree in (None, model.apply(base, honest), model.apply(base, forged))


@hostile("HST-012", "proc(5): magic links; openat2(2), RESOLVE_NO_MAGICLINKS", SHOULD)
@pytest.mark.parametrize("link", ["/proc/self/root", "/proc/self/cwd", "/proc/1/root"])
def test_magic_links_lead_nowhere(subject, host, link):
    """A symlink to one of the kernel's magic links is no way out of the root."""
    with host.canary() as outside, subject.refuses("hostile-layer"):
        subject.tree(Layer(Symlink("p", to=link), File(f"p{outside.path}/file", b"evil")))


@hostile("HST-013", f"{RESOLVED}: symlinks in a circle", SHOULD)
@pytest.mark.parametrize("length", [1, 2, 50])
def test_symlinks_in_a_circle_are_refused(subject, length):
    """An entry below symlinks that lead to each other is a hostile layer."""
    links = [Symlink(f"l{n}", to=f"l{(n + 1) % length}") for n in range(length)]

    with subject.refuses("hostile-layer"):
        subject.tree(Layer(*links, File("l0/x")))


WAYS = {
    "up": lambda to: [File(f"../../../../../..{to}/file", b"evil")],
    "up, a directory": lambda to: [Dir(f"../../../../../..{to}", mode=0o777)],
    "up from below": lambda to: [Dir("d"), File(f"d/../../../../../../..{to}/new", b"evil")],
    "up, a hard link": lambda to: [Hardlink("h", to=f"../../../../../..{to}/file")],
    "a hard link": lambda to: [Hardlink("h", to=f"{to}/file")],
    "up, a whiteout": lambda to: [Whiteout(f"../../../../../..{to}/file")],
    "a symlink": lambda to: [Symlink("l", to=to), File("l/file", b"evil")],
    "a symlink, relative": lambda to: [Symlink("l", to=f"../../../../../..{to}"), File("l/file")],
    "a symlink, deeper": lambda to: [Symlink("l", to=to), File("l/directory/new/file")],
    "a symlink, fifo": lambda to: [Symlink("l", to=to), Fifo("l/pipe")],
    "a symlink, hard link": lambda to: [Symlink("l", to=to), Hardlink("h", to="l/file")],
    "symlinks": lambda to: [Symlink("a", to="b"), Symlink("b", to=to), File("a/file", b"evil")],
    "a symlink's hard link": lambda to: [Symlink("s", to=to), Hardlink("l", to="s"), Dir("l/new")],
    "a symlink for a directory": lambda to: [
        Dir("d"), File("d/f"), Symlink("d", to=to), File("d/file", b"evil"),
    ],
    "a magic link": lambda to: [Symlink("p", to="/proc/self/root"), File(f"p{to}/file", b"evil")],
}  # fmt: skip


@hostile("HST-270", "path_resolution(7); openat2(2), RESOLVE_IN_ROOT; PROTOCOL.md, 3.6 and 7")
@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_out_of_the_root(subject, host, way):
    """A layer whose names or links lead out is refused, or all of it stays inside the root."""
    with host.canary() as outside:
        subject.stays_inside(Layer(*WAYS[way](outside.path)))


@hostile("HST-014", "PROTOCOL.md, invalid-layer-path; path_resolution(7)")
@pytest.mark.parametrize(
    "entries",
    [
        [File("a"), File("a/b")],
        [File("x" * 256)],
        [File("d/" + "x" * 256 + "/f")],
        [Hardlink("h", to="nothing")],
    ],
    ids=["below a file", "256 bytes", "256 bytes in the middle", "hard link to nothing"],
)
def test_a_path_that_cannot_be_is_refused(subject, entries):
    """A name below a file, a component that is too long, or a link to nothing is refused."""
    with subject.refuses("invalid-layer-path"):
        subject.tree(Layer(File("before"), *entries))


@hostile("HST-015", "POSIX.1-2017 pax, pax Extended Header; PROTOCOL.md, validation-error")
@pytest.mark.parametrize(
    "raw",
    [
        pax([(b"path", b"a\0b")]),
        pax([(b"size", b"-1")]),
        pax([(b"size", b"99999999999999999999")]),
        pax([(b"mtime", b"soon")]),
        edit(pax([(b"comment", b"x")]), "size", b"\x80" + (1 << 40).to_bytes(11, "big")),
        edit(pax([(b"comment", b"x")]), "size", b"77777777777"),
    ],
    ids=[
        "NUL in path", "negative size", "huge size", "no time", "a terabyte of records",
        "8 GiB of records",
    ],
)  # fmt: skip
def test_records_that_lie_are_refused(subject, host, raw):
    """Extended records with impossible values are refused before anything is done with them."""
    with (
        host.canary(),
        subject.refuses(
            "validation-error", "hostile-layer", "limit-exceeded", "invalid-layer-path"
        ),
    ):
        subject.tree(Layer(Raw(raw), File("f")))
