"""Ways out of the root that take several layers, a view, or the paths of the host.

A layer that holds a symlink is harmless by itself, and so is one that writes below its name. What
must come of the two is what path resolution within the view's root says, or a refusal; never a file
of the host. The same holds for what is committed, merged and exported, and for mount options.
"""

import contextlib

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import Dir, Fifo, File, Hardlink, Layer, Opaque, Symlink, Whiteout
from conformance.model import untimed
from harness.errors import Refused

AS_WRITTEN = "PROTOCOL.md, 3.5: to the paths of the layers below as they are written"
OF_THE_VIEW = "path_resolution(7); PROTOCOL.md, 3 and 7"
#: A layer that unpacks onto its parents finds their symlinks; one that does not replaces them.
MAY_BE_REFUSED = ("hostile-layer", "invalid-layer-path")


def hostile(id_, source, level=MUST, **more):
    """Return the mark of a clause of this profile."""
    return clause(id_, level, source, profile="hostile", **more)


@hostile("HST-241", f"image-spec layer.md, Whiteouts; {AS_WRITTEN}")
@pytest.mark.parametrize(
    "hidden", [["{}/f"], ["{}/sub/f"], ["{}/f", "{}/sub"], []], ids=["file", "below", "two", "all"]
)
def test_a_whiteout_hides_nothing_through_a_symlink_of_a_lower_layer(subject, host, hidden):
    """A marker below what is a symlink in a lower layer leaves alone what that leads to."""
    links = {"d": "real", "e": "/real", "g": "../../real", "h": "d"}
    base = Layer(
        Dir("real"),
        File("real/f"),
        Dir("real/sub"),
        File("real/sub/f"),
        *(Symlink(path, to=to) for path, to in links.items()),
    )
    markers = [Whiteout(name.format(path)) for path in links for name in hidden]
    upper = Layer(*(markers or map(Opaque, links)))

    with host.canary():
        tree = subject.tree_or_refusal(base, upper, codes=MAY_BE_REFUSED)
        assert tree in (None, model.apply(base, upper), model.apply(base))


@hostile("HST-242", OF_THE_VIEW)
@pytest.mark.parametrize(
    "entry",
    [
        lambda at: File(f"{at}/file", b"new"),
        lambda at: Dir(f"{at}/empty", mode=0o700),
        lambda at: Symlink(f"{at}/new", to="file"),
        lambda at: Fifo(f"{at}/pipe"),
        lambda at: Hardlink(f"{at}/link", to="own"),
        lambda at: File(f"{at}/directory/below", b"new"),
    ],
    ids=["file", "directory", "symlink", "fifo", "hard link", "further below"],
)
def test_what_is_written_below_a_lower_layer_s_symlink_stays_inside(subject, host, entry):
    """An entry below a lower layer's symlink takes its place, or goes where it leads inside."""
    with host.canary() as outside:
        inside = outside.path.lstrip("/")
        there = [Dir(inside), Dir(f"{inside}/directory")]
        for to in (outside.path, f"../../..{outside.path}", "hop"):
            base = Layer(*there, Symlink("hop", to=outside.path), Symlink("d", to=to))
            upper = Layer(File("own", b"own"), entry("d"))
            followed = Layer(File("own", b"own"), entry(inside))

            tree = subject.tree_or_refusal(base, upper, codes=MAY_BE_REFUSED)
            assert tree in (None, model.apply(base, upper), model.apply(base, followed))


@hostile("HST-243", OF_THE_VIEW)
@pytest.mark.parametrize("depth", [2, 3])
def test_layers_that_change_a_directory_to_a_symlink_lead_nowhere(subject, host, depth):
    """Directory, symlink, and an entry below it, each in a layer of its own, stay inside."""
    with host.canary() as outside:
        layers = [
            Layer(Dir("d"), Dir("d/directory"), File("d/file", b"old"), File("d/directory/below")),
            Layer(Symlink("d", to=outside.path)),
            Layer(File("d/file", b"new"), Whiteout("d/directory"), File("d/new", b"new")),
        ]
        tree = subject.tree_or_refusal(*layers[3 - depth :], codes=MAY_BE_REFUSED)
        assert tree in (None, model.apply(*layers[3 - depth :]))


@hostile("HST-244", "PROTOCOL.md, 3.7; link(2): symlinks are not dereferenced")
def test_a_hard_link_to_a_lower_layer_s_symlink_is_no_link_to_its_target(subject, host):
    """A hard link to a symlink of a lower layer is refused, or is that symlink."""
    with host.canary() as outside:
        base = Layer(Symlink("l", to=outside.file), Symlink("d", to=outside.path))
        for to in ("l", "d"):
            upper = Layer(Hardlink("h", to=to))
            tree = subject.tree_or_refusal(base, upper, codes=("invalid-layer-path",))
            assert tree is None or tree["h"].target == tree[to].target
        upper = Layer(Hardlink("h", to="d/file"))
        with subject.refuses("invalid-layer-path", "hostile-layer"):
            subject.tree(base, upper)


#: Of nothing, of the directory itself, and of its parent, spelt so that a marker is hard to see.
SPELT = [
    ".wh../", ".wh.../", ".wh./", "d/.wh../", ".wh..//", "./.wh..", "/.wh...", ".wh.../.",
    "//d//.wh..", "d/./.wh.", ".wh..wh..opq/", ".wh.f/x/../y", ".wh.d/./x",
]  # fmt: skip


@hostile("HST-245", "image-spec layer.md, Whiteouts; PROTOCOL.md, 3.1 and hostile-layer", SHOULD)
@pytest.mark.parametrize("behind", ["", "/"], ids=["names", "slashes behind"])
def test_slashes_and_dots_do_not_hide_an_invalid_marker(subject, host, behind):
    """A marker of nothing, of the directory itself or of its parent is refused in any spelling."""
    base = Layer(Dir("d"), File("d/f"), File("f"))

    with host.canary():
        for name in [name for name in SPELT if name.endswith("/") == bool(behind)]:
            with subject.refuses("hostile-layer"):
                subject.tree(base, Layer(Dir("d"), File(name, b"")))


LONG = "/".join(["a-directory-with-a-name"] * 6)


@hostile("HST-246", "image-spec layer.md, Whiteouts; POSIX.1-2017 pax; GNU tar manual", SHOULD)
@pytest.mark.parametrize("form", ["pax", "gnu", "ustar"])
def test_an_invalid_marker_is_found_in_a_long_name(subject, host, form):
    """An invalid marker whose name stands in a record, a long name or a prefix is refused."""
    base = Layer(File(f"{LONG}/f"))

    with host.canary():
        for name in (".wh.", ".wh..", ".wh...", ".wh..wh.x"):
            with subject.refuses("hostile-layer"):
                subject.tree(base, Layer(File(f"{LONG}/{name}", b""), format=form))


@hostile("HST-247", "PROTOCOL.md, commit, and 7; symlink(7)", needs=("writable", "commit"))
def test_a_directory_that_became_a_symlink_in_a_view_is_committed_as_one(subject, host):
    """A commit follows no symlink that a process in the view put in a directory's place."""
    base = Layer(Dir("d"), File("d/below"), Dir("e"), File("e/below"), File("f"))
    with host.canary() as outside:
        with subject.stacked(base, writable=True) as root:
            subject.inside(
                root,
                f"rm -r d f; ln -s {outside.directory} d; ln -s {outside.file} f;"
                f"mv e moved; ln -s {outside.path} e; ln f hardlink; mkdir n; ln -s .. n/up",
            )
            expected = untimed(host.tree(root))
            change = subject.commit(root)
        assert untimed(subject.tree(base, change)) == expected


@hostile(
    "HST-248",
    "PROTOCOL.md, commit: nothing that belongs to the overlay file system; overlayfs, Nesting",
    needs=("writable", "commit"),
)
@pytest.mark.parametrize("space", ["trusted", "user"])
def test_marks_set_by_a_process_in_a_view_are_not_committed(subject, host, space):
    """Attributes of overlayfs's names that a process sets in a view are in no layer."""
    base = Layer(Dir("d"), File("d/below"), Dir("other"), File("other/f"), File("f"))
    with subject.stacked(base, writable=True) as root:
        host.write(f"{root}/d/new", b"new")
        for name, value in (("opaque", b"y"), ("redirect", b"/other"), ("metacopy", b"")):
            for path in ("d", "f", "d/new"):
                with contextlib.suppress(OSError):  # older kernels refuse them all
                    host.call("setxattr", f"{root}/{path}", f"{space}.overlay.{name}", value)
        change = subject.commit(root)

    tree = subject.tree(base, change)
    assert not [name for node in tree.values() for name, _ in node.xattrs if ".overlay." in name]
    assert {"d/below", "d/new", "other/f", "f"} < set(tree)


@hostile("HST-249", "PROTOCOL.md, merge, and 7; symlink(7)", needs=("merge",))
def test_symlinks_over_directories_are_merged_as_symlinks(subject, host):
    """A merge of layers that change directories to symlinks and back follows none of them."""
    with host.canary() as outside:
        layers = [
            Layer(Dir("d"), File("d/below", b"1"), File("e", b"1"), Symlink("s", to=outside.path)),
            Layer(Symlink("d", to=outside.directory), Symlink("e", to=outside.file)),
            Layer(Dir("s"), File("s/file", b"3"), File("d/below", b"3"), Opaque("d")),
            Layer(Symlink("s", to=outside.empty), Hardlink("t", to="s")),
        ]
        for count in (2, 3, 4):
            some = layers[:count]
            assert subject.tree(subject.merge(*some)) == model.apply(*some)


@hostile("HST-251", "mount(8), overlay: lowerdir, upperdir; PROTOCOL.md, 1; reported as moby#40959")
@pytest.mark.parametrize(
    "name",
    [
        "decoy:evil", "decoy,upperdir=decoy,workdir=decoy", "decoy\\:evil", "decoy\\", "decoy'\"",
        "decoy\n:decoy", "decoy\udcff,ro", "decoy\\054decoy", "decoy::decoy", "lower+decoy:",
    ],
    ids=[
        "colon", "upperdir", "escaped", "backslash", "quotes", "newline", "not UTF-8", "octal",
        "data only", "plus",
    ],
)  # fmt: skip
def test_no_part_of_a_store_s_path_is_a_mount_option(subject_at, host, name):
    """Separators in a store's path bring nothing from beside it into a view, nor back."""
    subject = subject_at(name)
    base, upper = Layer(Dir("d"), File("d/a")), Layer(File("d/b"), Whiteout("d/a"))
    with host.canary(f"{subject.directory}/decoy"):
        with subject.stacked(base, upper) as root:
            assert host.tree(root) == model.apply(base, upper)
        if subject.raw.config.declares("writable"):
            with subject.stacked(base, writable=True) as root:
                host.write(f"{root}/new", b"new")
        assert subject.tree(base) == model.apply(base)


@hostile("HST-252", "path_resolution(7); PROTOCOL.md, lease, and 7", needs=("lease", "gc"))
@pytest.mark.parametrize("name", ["../../../{}/new", "{}/new", "..", "a/../../b", "a\nb", "-r"])
def test_a_lease_s_name_is_no_path(subject, host, name):
    """A lease may have any name, or is refused; no file of the host has to do with it."""
    with host.canary() as outside:
        lease = name.format(outside.path)
        kept = {subject.add(Layer(File("f")))}
        try:
            subject.call("lease", name=lease, digests=sorted(kept))
        except Refused as refused:
            kept = set()
            if refused.code != "validation-error":
                raise
        subject.call("gc")
        assert subject.digests() == kept
        if kept:
            subject.call("release", name=lease)
            subject.call("gc")
        assert subject.digests() == set()


@hostile(
    "HST-253",
    "path_resolution(7): names are compared whole; PROTOCOL.md, invalid-mount-point",
    SHOULD,
)
def test_a_target_beside_the_store_is_not_in_it(subject, host):
    """A target whose path begins like the store's, or leads there, is judged by where it is."""
    layer = Layer(File("f"))
    with host.canary(f"{subject.store}-evil") as outside:
        with subject.refuses("invalid-mount-point"):
            subject.stack(layer, target=outside.symlink)
        host.call("symlink", subject.store, f"{subject.directory}/way")
        for target in (
            f"{subject.directory}/way/view",
            f"{outside.path}/../{subject.store.rpartition('/')[2]}/view",
        ):
            with subject.refuses("invalid-mount-point"):
                subject.stack(layer, target=target)
    beside = f"{host.mkdir(f'{subject.store}-beside')}/view"
    with subject.stacked(layer, target=beside) as root:
        assert host.tree(root) == model.apply(layer)
