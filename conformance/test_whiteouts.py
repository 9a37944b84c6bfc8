"""Whiteouts: what a layer takes away from those below it, and nothing else."""

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import Dir, Fifo, File, Hardlink, Layer, Opaque, Raw, Symlink, Whiteout
from conformance.tar import Header, encode

WHITEOUTS = "image-spec layer.md, Whiteouts"
OPAQUE = "image-spec layer.md, Opaque Whiteout"

BASE = Layer(
    Dir("d", mode=0o750),
    File("d/a"),
    File("d/b"),
    Dir("d/e"),
    File("d/e/f"),
    Symlink("l", to="d"),
    Fifo("p"),
    File("x"),
    Hardlink("y", to="x"),
)


@clause("WHT-001", MUST, WHITEOUTS)
@pytest.mark.parametrize("path", ["d/a", "d/e", "d", "l", "p", "x"])
def test_a_whiteout_hides_the_path_and_all_below_it(subject, path):
    """A whiteout hides what has its name in the layers below, of whatever type, and only that."""
    parents = [Dir("d", mode=0o750)] if path.startswith("d/") else []
    upper = Layer(*parents, Whiteout(path))

    assert subject.tree(BASE, upper) == model.apply(BASE, upper)


@clause("WHT-002", MUST, f"{WHITEOUTS}: only resources in lower layers")
@pytest.mark.parametrize("position", ["before", "after"])
def test_a_whiteout_never_hides_its_own_layer(subject, position):
    """A whiteout beside an entry of its own name hides only what lies below that entry."""
    entries = [Dir("d"), File("d/new")]
    marked = [Whiteout("d"), *entries] if position == "before" else [*entries, Whiteout("d")]
    upper = Layer(*marked)

    assert subject.tree(BASE, upper) == model.apply(BASE, upper)


@clause("WHT-003", MUST, f"{WHITEOUTS}; {OPAQUE}")
@pytest.mark.parametrize(
    "marker",
    [Whiteout("nothing"), Whiteout("d/nothing"), Opaque("d/n")],
    ids=["at the root", "in a directory", "opaque"],
)
def test_a_whiteout_of_what_is_not_there_is_no_error(subject, marker):
    """A marker that finds nothing below it changes nothing, in a lowest layer too."""
    upper = Layer(Dir("d"), Dir("d/n"), marker)

    assert subject.tree(BASE, upper) == model.apply(BASE, upper)
    assert subject.tree(upper) == model.apply(upper)


@clause("WHT-004", MUST, f"{OPAQUE}; reported as umoci#224, umoci#232")
@pytest.mark.parametrize("position", ["first", "middle", "last"])
def test_opaque_whiteout_hides_only_what_lies_below(subject, host, position):
    """An opaque marker hides the lower layers' siblings, never its own layer's, wherever it is."""
    upper = Layer(Dir("d"), File("d/a", b"mine"), Dir("d/e"), File("d/e/new"))
    upper = upper.with_opaque("d", position)

    with subject.stacked(BASE, upper) as root:
        assert host.tree(root) == model.apply(BASE, upper)


@clause("WHT-005", MUST, f"{WHITEOUTS}: may be hidden in subsequent layers")
def test_what_one_layer_hides_a_later_one_may_bring_back(subject):
    """A path that is deleted, added again and deleted once more is what the last layer says."""
    again = Layer(Dir("d"), Dir("d/e"), File("d/e/again"))
    layers = [BASE, Layer(Dir("d"), Whiteout("d/e")), again]
    assert subject.tree(*layers) == model.apply(*layers)

    layers.append(Layer(Dir("d"), Whiteout("d/e")))
    assert subject.tree(*layers) == model.apply(*layers)


@clause("WHT-006", MUST, f"{WHITEOUTS}: lower layers only")
def test_a_whiteout_says_nothing_of_the_layers_above(subject):
    """A whiteout in the middle of a stack hides what is below, not what is above."""
    middle, top = Layer(Whiteout("x"), Whiteout("d")), Layer(File("x", b"new"), Dir("d"))

    assert subject.tree(BASE, middle, top) == model.apply(BASE, middle, top)
    assert subject.tree(middle, BASE) == model.apply(middle, BASE)


@clause("WHT-007", MUST, f"{OPAQUE}: all children, sub-directories and descendants")
@pytest.mark.parametrize(
    "entries",
    [
        [Opaque("."), File("only")],
        [Dir("d"), Opaque("d"), Dir("d/e"), Opaque("d/e"), File("d/e/n")],
        [Dir("d"), Opaque("d"), Whiteout("d/a"), File("d/b", b"mine")],
        [Dir("d"), Dir("d/e"), Opaque("d/e")],
        [Dir("x"), Opaque("x"), File("x/y")],
        [Dir("l"), Opaque("l"), File("l/y")],
    ],
    ids=["root", "nested", "with a whiteout", "below", "over a file", "over a symlink"],
)
def test_opaque_markers_anywhere(subject, entries):
    """An opaque marker works for the root, within opaque directories, and over what was a file."""
    upper = Layer(*entries)

    assert subject.tree(BASE, upper) == model.apply(BASE, upper)


@clause("WHT-008", MUST, f"{OPAQUE}; PROTOCOL.md, 3.4")
@pytest.mark.parametrize("marker", [Opaque("d"), Whiteout("d/a")], ids=["opaque", "whiteout"])
def test_a_marker_without_its_directory_leaves_that_as_it_is(subject, marker):
    """A marker in a directory that has no entry of its own changes none of its attributes."""
    upper = Layer(marker, File("d/new"))

    assert subject.tree(BASE, upper) == model.apply(BASE, upper)


@clause("WHT-009", MUST, f"{WHITEOUTS}: a marker must be hidden; reported as fuse-overlayfs#306")
def test_no_marker_is_ever_seen(subject, host):
    """No ``.wh.`` name can be listed, looked up or opened in a view, nor what it hides."""
    upper = Layer(Dir("d"), Whiteout("d/a"), Opaque("d/e"), Dir("d/e"), Whiteout("x"))

    with subject.stacked(BASE, upper) as root:
        assert not [path for path in host.tree(root) if ".wh." in path]
        for name in ("d/a", "d/.wh.a", "d/e/.wh..wh..opq", "d/e/f", "x", ".wh.x"):
            assert not host.exists(f"{root}/{name}")
            with pytest.raises(FileNotFoundError):
                host.read(f"{root}/{name}")


@clause("WHT-010", MUST, WHITEOUTS)
@pytest.mark.parametrize("name", ["a:b,c\\d", "new\nline", "\udcff", "x" * 251, ".hidden", "wh."])
def test_a_whiteout_hides_any_name(subject, name):
    """Whatever name a file can have beside its marker, a whiteout hides it."""
    base = Layer(File(name), File("stays"))
    upper = Layer(Whiteout(name))

    assert subject.tree(base, upper) == model.apply(base, upper)


@clause("WHT-011", MUST, f"{WHITEOUTS}; image-spec layer.md, Changeset over existing files")
def test_one_of_two_hard_links_can_be_hidden(subject):
    """Hiding one name of a hard link leaves the file under its other name."""
    upper = Layer(Whiteout("x"))

    assert subject.tree(BASE, upper) == model.apply(BASE, upper)


@clause("WHT-012", MUST, f"{WHITEOUTS}; PROTOCOL.md, hostile-layer", profile="hostile")
@pytest.mark.parametrize(
    "name",
    [".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh...", ".wh..wh.", ".wh..wh.plnk", ".wh..wh..opq2"],
)
def test_a_marker_for_no_possible_name_hides_nothing(subject, host, name):
    """A marker of nothing, of ``.`` or ``..``, or a reserved one, hides nothing, or is refused."""
    with host.canary():
        layers = BASE, Layer(Dir("d"), File(name, b""))
        tree = subject.tree_or_refusal(*layers, codes=("hostile-layer",))
        assert tree in (None, model.apply(BASE, Layer(Dir("d"))))


@clause("WHT-013", MUST, f"{WHITEOUTS}: no such file can be created", profile="hostile")
@pytest.mark.parametrize(
    "entry",
    [Dir(".wh.d"), File(".wh.d/f"), Dir("d/.wh..wh..opq")],
    ids=["of its own", "of a file", "opaque"],
)
def test_no_directory_has_a_markers_name(subject, host, entry):
    """A directory whose name begins like a marker is refused, or at least never shown."""
    with host.canary():
        tree = subject.tree_or_refusal(BASE, Layer(Dir("d"), entry), codes=("hostile-layer",))
        assert [path for path in tree or () if "/.wh." in f"/{path}"] == []


@clause("WHT-014", SHOULD, f"{WHITEOUTS}: a whiteout file is an empty file")
@pytest.mark.parametrize("how", ["content", "symlink", "hard link"])
def test_a_marker_that_is_more_than_an_empty_file_is_still_a_marker(subject, how):
    """A marker with content, or of another type, hides as any other does, or is refused."""
    header = {
        "content": encode(Header(b".wh.x", b"0", size=3), "pax") + b"abc".ljust(512, b"\0"),
        "symlink": encode(Header(b".wh.x", b"2", linkname=b"/etc/passwd"), "pax"),
        "hard link": encode(Header(b".wh.x", b"1", linkname=b"f"), "pax"),
    }[how]

    tree = subject.tree_or_refusal(
        BASE, Layer(File("f"), Raw(header)), codes=("hostile-layer", "validation-error")
    )
    assert tree in (None, model.apply(BASE, Layer(File("f"), Whiteout("x"))))
