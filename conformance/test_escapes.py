"""Ways out of the root through names and links: whatever an archive calls things, they stay inside.

These go further than test_hostile.py: every kind of entry, every field of a header that can hold a
name, every route that a symlink can take. Each case has a canary beside the store. A refusal is
exact; where a name can as well be confined below the root, the tree is.
"""

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import (
    MTIME,
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
from conformance.tar import Header, edit, encode, pax, sparse_records

RESOLVED = "path_resolution(7); PROTOCOL.md, hostile-layer"
IN_ROOT = "openat2(2), RESOLVE_IN_ROOT; PROTOCOL.md, 3.6"
PIECES = ((0, b"x" * 512),)


def hostile(id_, source, level=MUST, **more):
    """Return the mark of a clause of this profile."""
    return clause(id_, level, source, profile="hostile", **more)


@hostile("HST-201", f"{RESOLVED}: a member's name with ..", SHOULD)
@pytest.mark.parametrize(
    "entry",
    [
        lambda at: Symlink(f"{at}/x", to="f"),
        lambda at: Hardlink(f"{at}/x", to="f"),
        lambda at: Fifo(f"{at}/x"),
        lambda at: Sparse(f"{at}/x", 4096, PIECES),
        lambda at: Whiteout(f"{at}/x"),
        Opaque,
    ],
    ids=["symlink", "hard link", "fifo", "sparse file", "whiteout", "opaque marker"],
)
def test_no_kind_of_entry_may_have_two_dots_in_its_name(subject, host, entry):
    """A member of any kind whose name has a component ``..`` is a hostile layer."""
    with host.canary():
        for at in ("..", "d/..", "d/../..", "./..", "/.."):
            with subject.refuses("hostile-layer"):
                subject.tree(Layer(File("f"), Dir("d"), entry(at)))


def named(field, name):
    """Return a regular file's header whose name is ``name`` in one field, and harmless elsewhere.

    ``name`` is longer than the 100 bytes of the plain field, so that it can stand there only where
    the field is the prefix, which holds all but the last component.
    """
    plain = encode(Header(b"harmless", b"0", mtime_ns=MTIME), "ustar")
    if field == "prefix":
        head, _, base = name.rpartition(b"/")
        return edit(edit(plain, "prefix", head), "name", base)
    if field == "GNU long name":
        return edit(encode(Header(name, b"0", mtime_ns=MTIME), "gnu"), "name", b"harmless", at=1024)
    if field == "pax path":
        return pax([(b"path", name)]) + plain
    records, before = sparse_records("1.0", name, 4096, [(0, 512)])
    header = Header(b"harmless", b"0", size=1024, mtime_ns=MTIME, records=records)
    return encode(header, "pax") + before + b"x" * 512


@hostile("HST-202", f"POSIX.1-2017 pax; GNU tar manual, Basic Tar Format; {RESOLVED}", SHOULD)
@pytest.mark.parametrize("field", ["prefix", "GNU long name", "pax path", "GNU.sparse.name"])
def test_two_dots_are_found_wherever_a_name_is_written(subject, host, field):
    """A name with ``..`` is a hostile layer, whichever field or record of the header it is from."""
    long = "n" * 110
    with host.canary():
        for name in (f"../{long}/evil", f"{long}/../../../evil", f"d/../{long}/evil"):
            with subject.refuses("hostile-layer"):
                subject.tree(Layer(Dir("d"), Raw(named(field, name.encode()))))


@hostile("HST-203", f"{RESOLVED}: a hard link with ..", SHOULD)
@pytest.mark.parametrize("field", ["link name", "GNU long link", "pax linkpath"])
def test_two_dots_in_a_hard_link_s_target_are_refused(subject, host, field):
    """A hard link's target with ``..`` is a hostile layer, also where it would lead back inside."""
    name = "d" if field == "link name" else "d" * 120
    form = {"GNU long link": "gnu"}.get(field, "pax")
    with host.canary() as outside:
        for to in (f"{name}/../f", "../f", f"{name}/../../f", f"..{outside.path}/{name}"):
            link = Header(b"h", b"1", linkname=to.encode(), mtime_ns=MTIME)
            with subject.refuses("hostile-layer"):
                subject.tree(Layer(Dir(name), File("f"), Raw(encode(link, form))))


#: None of them is ``..``: percent signs, other scripts' dots, overlong UTF-8, other systems' ways.
LOOK_ALIKES = [
    "...", "....", ".. ", " ..", "..a", "a..", ". .", "%2e%2e", "..%2f..", "\uff0e\uff0e",
    "\u2024\u2024", "\u2025", "..\\x", "\\..\\..", "..\n", "\udcc0\udcae\udcc0\udcae", "..\udcff",
    ".\u200d.", "..;", "~", "C:", "$HOME", "..:..",
]  # fmt: skip


@hostile("HST-204", "path_resolution(7): only dot-dot itself names the parent")
def test_what_only_looks_like_two_dots_is_a_name_like_any_other(subject, host):
    """Names that resemble ``..`` are ordinary names of files, directories and links' targets."""
    entries = []
    for number, name in enumerate(LOOK_ALIKES):
        entries += [
            Dir(name),
            File(f"{name}/{name}", b"%d" % number),
            Hardlink(f"{name}/h", to=f"{name}/{name}"),
            Symlink(f"l{number}", to=f"{name}/{name}"),
        ]
    layer = Layer(*entries)

    with host.canary():
        assert subject.tree(layer) == model.apply(layer)


@hostile("HST-205", "image-spec layer.md, Whiteouts; path_resolution(7)")
def test_a_whiteout_of_what_looks_like_two_dots_hides_just_that(subject, host):
    """A whiteout of a name that resembles ``..`` hides that name, and nothing else."""
    base = Layer(File("f"), *(File(f"{name}/{name}") for name in LOOK_ALIKES))
    upper = Layer(
        *(Whiteout(name) for name in LOOK_ALIKES[::2]),
        *(Whiteout(f"{name}/{name}") for name in LOOK_ALIKES[1::2]),
    )

    with host.canary():
        assert subject.tree(base, upper) == model.apply(base, upper)


@hostile("HST-206", "PROTOCOL.md, 3.1: leading slashes")
@pytest.mark.parametrize(
    "entries",
    [
        lambda path: [Dir(f"{path}/empty", mode=0o700), Dir(f"{path}/new")],
        lambda path: [Fifo(f"{path}/pipe")],
        lambda path: [Hardlink(f"{path}/link", to=f"{path}/own")],
        lambda path: [Sparse(f"{path}/file", 4096, PIECES)],
        lambda path: [File(f"{path}/missing/parents/of/a/file")],
        lambda path: [Whiteout(f"{path}/file"), Whiteout(f"{path}/directory")],
        lambda path: [Opaque(f"{path}/directory")],
    ],
    ids=["directory", "fifo", "hard link", "sparse", "missing parents", "whiteout", "opaque"],
)
def test_an_absolute_name_of_any_kind_stays_below_the_root(subject, host, entries):
    """Entries and markers with absolute names act below the root, or the layer is refused."""
    with host.canary() as outside:
        inside = outside.path.lstrip("/")
        base = Layer(File(f"{inside}/file"), File(f"{inside}/directory/below"))
        upper = Layer(File(f"{inside}/own", b"own"), *entries(outside.path))

        tree = subject.tree_or_refusal(base, upper, codes=("hostile-layer",))
        assert tree in (None, model.apply(base, upper))


@hostile("HST-207", f"{IN_ROOT}; PROTOCOL.md, hostile-layer", SHOULD)
@pytest.mark.parametrize(
    "entry",
    [
        Fifo("l/pipe"),
        Hardlink("l/link", to="f"),
        Sparse("l/file", 4096, PIECES),
        File("l/made/on/the/way/file"),
        File("l/directory/below", b"evil"),
    ],
    ids=["fifo", "hard link", "sparse file", "missing parents", "file further below"],
)
def test_nothing_of_any_kind_is_made_below_a_symlink_to_the_outside(subject, host, entry):
    """An entry of any kind below a symlink, or below a hard link to one, never gets outside."""
    with host.canary() as outside:
        for link in (
            [Symlink("l", to=outside.path)],
            [Symlink("s", to=outside.path), Hardlink("l", to="s")],
            [Symlink("s", to=outside.path), Dir("d"), Symlink("l", to="d/../s")],
        ):
            with subject.refuses("hostile-layer"):
                subject.tree(Layer(File("f"), *link, entry))


@hostile("HST-208", IN_ROOT)
@pytest.mark.parametrize(
    "to",
    ["{}", "../../../..{}", ".//.{}/./", "up{}", "d/up{}", "d/deep/../../up{}/directory/.."],
    ids=["absolute", "climbing", "dots", "through a symlink", "below one", "back again"],
)
def test_a_path_that_is_there_outside_and_inside_is_the_one_inside(subject, host, to):
    """A symlink to a path that exists on the host and in the layer leads to the layer's own."""
    with host.canary() as outside:
        inside = outside.path.lstrip("/")
        layer = Layer(
            Dir(inside),
            Dir(f"{inside}/directory"),
            File(f"{inside}/file", b"inside"),
            Dir("d"),
            Dir("d/deep"),
            Symlink("up", to="/"),
            Symlink("d/up", to="../.."),
            Symlink("l", to=to.format(outside.path)),
            File("l/file", b"evil"),
            File("l/directory/below", b"evil"),
            Fifo("l/new"),
            Hardlink("h", to="l/file"),
        )

        tree = subject.tree_or_refusal(layer, codes=("hostile-layer",))
        assert tree in (None, model.apply(layer))


@hostile("HST-209", f"{IN_ROOT}; path_resolution(7): .. is the parent of where the path has led")
def test_two_dots_behind_a_symlink_are_those_of_its_target(subject, host):
    """In a symlink, ``..`` is the parent of the directory that was reached, as in a chroot."""
    layer = Layer(
        Dir("r"),
        Dir("p"),
        Dir("p/r"),
        Dir("p/q"),
        Symlink("x", to="p/q"),
        Symlink("l", to="x/../r"),
        File("l/f", b"below p"),
    )

    with host.canary():
        tree = subject.tree_or_refusal(layer, codes=("hostile-layer",))
        assert tree in (None, model.apply(layer))


@hostile("HST-210", "path_resolution(7): at most 40 symlinks, ELOOP")
def test_symlinks_that_double_at_each_step_end_at_once(subject, host):
    """A few symlinks that take a thousand million steps to follow are refused, or not walked."""
    links = [Symlink(f"l{n}", to=f"l{n + 1}/../l{n + 1}") for n in range(30)]
    layer = Layer(Dir("d"), Symlink("l30", to="d"), *links, File("l0/x", b"x"))

    with host.canary():
        tree = subject.tree_or_refusal(layer, codes=("hostile-layer",))
        assert tree in (None, model.apply(Layer(Dir("d"), *layer.entries[1:-1], File("d/x", b"x"))))


@hostile("HST-211", f"{RESOLVED}; PROTOCOL.md, 3.2")
@pytest.mark.parametrize("path", ["d", "p/d"], ids=["at the root", "below"])
def test_a_name_may_change_between_symlink_and_directory_any_number_of_times(subject, host, path):
    """A directory that follows a symlink of its name is a new one, and nothing went through it."""
    with host.canary() as outside:
        entries = [Dir("p")]
        for number in range(12):
            entries += [
                Symlink(path, to=outside.directory),
                Dir(path, mode=0o700 + number),
                File(f"{path}/below", b"%d" % number),
                File(f"{path}/new-{number}"),
                Dir(f"{path}/sub"),
            ]
        layer = Layer(*entries)
        assert subject.tree(layer) == model.apply(layer)


@hostile("HST-212", f"{RESOLVED}; PROTOCOL.md, 3.2", SHOULD)
@pytest.mark.parametrize(
    ("entry", "codes"),
    [
        (File("p/directory/below", b"evil"), ["hostile-layer"]),
        (Dir("p/empty", mode=0o777), ["hostile-layer"]),
        (Hardlink("h", to="p/directory/below"), ["hostile-layer", "invalid-layer-path"]),
    ],
    ids=["file", "directory", "hard link"],
)
def test_a_directory_above_that_became_a_symlink_is_not_remembered(subject, host, entry, codes):
    """What was resolved before an ancestor became a symlink counts no more."""
    with host.canary() as outside:
        layer = Layer(
            Dir("p"),
            Dir("p/empty"),
            Dir("p/directory"),
            File("p/directory/below", b"inside"),
            Symlink("p", to=outside.path),
            entry,
        )
        with subject.refuses(*codes):
            subject.tree(layer)


@hostile("HST-213", f"image-spec layer.md, Hardlinks; link(2); {IN_ROOT}")
def test_a_hard_link_to_a_symlink_is_a_symlink_to_those_below_it(subject, host):
    """What stands below a hard link to a symlink goes where the symlink leads, inside the root."""
    layer = Layer(
        Dir("real"),
        Symlink("s", to="real"),
        Hardlink("t", to="s"),
        Hardlink("u", to="t"),
        File("u/x", b"in real"),
        Symlink("away", to="nowhere"),
        Hardlink("t", to="away"),
        File("u/y", b"in real, too"),
    )

    with host.canary():
        tree = subject.tree_or_refusal(layer, codes=("hostile-layer",))
        assert tree in (None, model.apply(layer))


@hostile("HST-214", "PROTOCOL.md, hostile-layer and invalid-layer-path; link(2): EPERM")
@pytest.mark.parametrize(
    ("to", "codes"),
    [
        (".", ["hostile-layer"]),
        ("/", ["hostile-layer"]),
        (".//./", ["hostile-layer"]),
        ("d/", ["hostile-layer"]),
        ("d/.", ["hostile-layer"]),
        ("h", ["invalid-layer-path"]),
        (".wh.x", ["invalid-layer-path", "hostile-layer"]),
        ("e/.wh..wh..opq", ["invalid-layer-path", "hostile-layer"]),
    ],
    ids=["dot", "slash", "dots", "slash behind", "dot behind", "itself", "whiteout", "opaque"],
)
def test_a_hard_link_names_a_file_of_its_layer(subject, host, to, codes):
    """A hard link to the root, to a directory, to itself or to a marker is refused."""
    base = Layer(File("x"), File("e/x"))
    upper = Layer(Dir("d"), Dir("e"), Opaque("e"), Whiteout("x"), Hardlink("h", to=to))

    with host.canary(), subject.refuses(*codes):
        subject.tree(base, upper)


@hostile("HST-215", f"{RESOLVED}; path_resolution(7): names are compared whole", SHOULD)
@pytest.mark.parametrize(
    "entry",
    [File("l/file", b"evil"), Dir("l/new"), File("l/directory/x"), Hardlink("h", to="l/file")],
    ids=["file", "directory", "further below", "hard link"],
)
def test_a_path_that_begins_like_the_store_s_is_outside(subject, host, entry):
    """A directory beside the store whose name begins with the store's is as foreign as any."""
    with host.canary(f"{subject.store}-evil") as outside:
        for to in (outside.path, f"{subject.store}/../{outside.path.rpartition('/')[2]}"):
            with subject.refuses("hostile-layer", "invalid-layer-path"):
                subject.tree(Layer(Symlink("l", to=to), entry))
