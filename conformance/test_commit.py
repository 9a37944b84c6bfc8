"""Commit: what was changed in a writable view, as a layer that makes the same change again."""

import signal
import stat

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
    Symlink,
    Whiteout,
)
from conformance.model import untimed

NEEDS = ("commit", "writable")
CHANGES = "image-spec layer.md, Representing Changes; PROTOCOL.md, commit"

BASE = Layer(
    Dir("./"),
    Dir("d", mode=0o750, xattrs={"user.kept": b"1"}),
    File("d/a", b"first\n"),
    File("d/b", b"second\n", mode=0o600),
    Dir("d/e"),
    File("d/e/f", b"below\n"),
    Symlink("l", to="d"),
    File("x", b"linked\n"),
    Hardlink("y", to="x"),
)

#: What a shell does in the view, and the layer that the specification has for it.
EDITS = {
    "add a file": ("echo new > d/new", Layer(File("d/new", b"new\n"))),
    "add a tree": (
        "mkdir -p n/o && echo 1 > n/o/p && ln -s o n/q && mkfifo n/r && chmod 1700 n",
        Layer(
            Dir("n", mode=0o1700), Dir("n/o"), File("n/o/p", b"1\n"), Symlink("n/q", to="o"),
            Fifo("n/r"),
        ),
    ),
    "append to a file": ("echo more >> d/a", Layer(File("d/a", b"first\nmore\n"))),
    "replace a file": ("rm d/a && echo 1 > d/a", Layer(File("d/a", b"1\n"))),
    "delete a file": ("rm d/a", Layer(Whiteout("d/a"))),
    "delete a directory": ("rm -r d/e", Layer(Whiteout("d/e"))),
    "delete a symlink": ("rm l", Layer(Whiteout("l"))),
    "delete and make anew": (
        "rm -r d && mkdir d && echo 1 > d/n",
        Layer(Whiteout("d"), Dir("d"), File("d/n", b"1\n")),
    ),
    "empty a directory": ("rm -r d/*", Layer(Opaque("d"))),
    "a file for a directory": ("rm -r d && echo 1 > d", Layer(Whiteout("d"), File("d", b"1\n"))),
    "a directory for a file": (
        "rm x && mkdir x && echo 1 > x/z",
        Layer(Whiteout("x"), Dir("x"), File("x/z", b"1\n")),
    ),
    "a symlink for a directory": (
        "rm -r d/e && ln -s /nowhere d/e",
        Layer(Whiteout("d/e"), Symlink("d/e", to="/nowhere")),
    ),
    "a directory for a symlink": ("rm l && mkdir l", Layer(Whiteout("l"), Dir("l"))),
    "move a directory": (
        "mv d/e moved",
        Layer(Whiteout("d/e"), Dir("moved"), File("moved/f", b"below\n")),
    ),
    "mode of a file": ("chmod 4711 d/b", Layer(File("d/b", b"second\n", mode=0o4711))),
    "mode of a directory": (
        "chmod 700 d",
        Layer(Dir("d", mode=0o700, xattrs={"user.kept": b"1"})),
    ),
    "hard links": (
        "echo 1 > p && ln p q && ln p d/r",
        Layer(File("p", b"1\n"), Hardlink("q", to="p"), Hardlink("d/r", to="p")),
    ),
    "names": (
        "echo 1 > 'a:b,c\\d' && rm d/b && echo 2 > \"$(printf 'new\\nline')\"",
        Layer(File("a:b,c\\d", b"1\n"), Whiteout("d/b"), File("new\nline", b"2\n")),
    ),
    "truncate": (": > d/a", Layer(File("d/a", b""))),
}  # fmt: skip


def tagged(id_, level, source, **more):
    """Return the mark of a clause of this area."""
    return clause(id_, level, source, needs=NEEDS, **more)


@tagged("CMT-001", MUST, CHANGES)
@pytest.mark.parametrize("edit", EDITS)
def test_a_commit_is_the_change_that_was_made(subject, host, edit):
    """The committed layer on the same layers gives the view's tree, but for times."""
    script, change = EDITS[edit]
    with subject.stacked(BASE, writable=True) as root:
        subject.inside(root, script)
        view = untimed(host.tree(root))
        assert view == untimed(model.apply(BASE, change))
        digest = subject.commit(root)

    assert untimed(subject.tree(BASE, digest)) == view


@tagged("CMT-002", MUST, "PROTOCOL.md, commit: adds it to the store")
def test_a_committed_layer_is_a_layer_like_any_other(subject):
    """A committed layer is listed, and can be stacked on other layers than its own."""
    with subject.stacked(BASE, writable=True) as root:
        subject.inside(root, "rm d/a && echo new > d/new")
        digest = subject.commit(root)
    assert subject.digests() == {BASE.digest, digest}

    other = Layer(Dir("d", mode=0o711), File("d/a"), File("d/z"))
    assert set(subject.tree(other, digest)) - {"."} == {"d", "d/new", "d/z"}


@tagged("CMT-003", MUST, CHANGES)
def test_a_commit_of_no_change_changes_nothing(subject):
    """The commit of an unchanged view is a layer that changes nothing."""
    with subject.stacked(BASE, writable=True) as root:
        digest = subject.commit(root)

    assert subject.tree(BASE, digest) == model.apply(BASE)


@tagged("CMT-004", MUST, "PROTOCOL.md, commit: the same bytes each time")
def test_the_same_changes_are_the_same_layer(subject):
    """Two commits of one state are one layer, in whatever order its files were made."""
    with subject.stacked(BASE, writable=True) as one, subject.stacked(BASE, writable=True) as two:
        stamp = "touch -d @1000000000.123456789 n n/a n/b n/c . d && rm d/a"
        subject.inside(one, f"mkdir n && touch n/a n/b && echo 1 > n/c && rm d/b && {stamp}")
        subject.inside(two, f"mkdir n && echo 1 > n/c && rm d/b && touch n/b n/a && {stamp}")
        subject.inside(one, "touch -d @1000000000.123456789 d")
        subject.inside(two, "touch -d @1000000000.123456789 d")

        first = subject.commit(one)
        assert subject.commit(one) == first
        assert subject.commit(two) == first


@tagged("CMT-005", MUST, f"{CHANGES}; reported as moby#8242")
def test_a_change_that_leaves_size_and_time_is_found(subject, host):
    """A file whose content was changed to as many bytes, and its time put back, is committed."""
    with subject.stacked(BASE, writable=True) as root:
        host.write(f"{root}/d/a", b"FIRST\n")
        host.call("utime", f"{root}/d/a", ns=[MTIME, MTIME])
        digest = subject.commit(root)

    changed = model.apply(BASE, Layer(File("d/a", b"FIRST\n")))
    assert subject.tree(BASE, digest)["d/a"] == changed["d/a"]


@clause("CMT-006", MUST, "PROTOCOL.md, read-only-filesystem", needs=("commit",))
def test_a_read_only_view_cannot_be_committed(subject):
    """The commit of a read-only view is refused."""
    with subject.stacked(BASE) as root, subject.refuses("read-only-filesystem"):
        subject.commit(root)
    assert subject.digests() == {BASE.digest}


@clause("CMT-007", MUST, "PROTOCOL.md, invalid-mount-point", needs=("commit",))
@pytest.mark.parametrize("what", ["missing", "a directory"])
def test_what_is_no_view_cannot_be_committed(subject, host, what):
    """A commit of a target at which the store has no view is refused."""
    target = subject.path("target")
    if what == "a directory":
        host.mkdir(target)

    with subject.refuses("invalid-mount-point"):
        subject.commit(target)


@tagged("CMT-008", MUST, "PROTOCOL.md, commit: the view stays mounted")
def test_a_view_can_be_committed_again(subject, host):
    """After a commit the view takes further changes, and the next commit has all of them."""
    with subject.stacked(BASE, writable=True) as root:
        subject.inside(root, "echo 1 > one && rm d/a")
        first = subject.commit(root)
        subject.inside(root, "echo 2 > two && rm one")
        second = subject.commit(root)
        view = host.tree(root)

    assert "one" in subject.tree(BASE, first)
    assert untimed(subject.tree(BASE, second)) == untimed(view)


@tagged("CMT-009", MUST, f"{CHANGES}: directories without a change; PROTOCOL.md, 3.4")
def test_a_commit_leaves_other_directories_as_they_are(subject):
    """What was not changed is not in the layer: it does not bring back an older state."""
    newer = Layer(
        Dir("d/e", mode=0o711, mtime_ns=9), File("d/e/f", b"newer"), File("d/b", b"newer")
    )
    with subject.stacked(BASE, writable=True) as root:
        subject.inside(root, "echo 1 > d/new")
        digest = subject.commit(root)

    tree = subject.tree(BASE, newer, digest)
    expected = model.apply(BASE, newer)
    assert {name: tree[name] for name in ("d/e", "d/e/f", "d/b", "x")} == {
        name: expected[name] for name in ("d/e", "d/e/f", "d/b", "x")
    }


@clause(
    "CMT-010", MUST, "image-spec layer.md, Whiteouts; PROTOCOL.md, commit", needs=(*NEEDS, "export")
)
def test_a_committed_layer_is_a_layer_for_others_too(subject, host):
    """A committed layer's archive is what the specification says, and has nothing of overlayfs."""
    with subject.stacked(BASE, writable=True) as root:
        subject.inside(root, "rm d/a && rm -r d/e && mkdir d/e && echo 1 > d/e/n && ln x z")
        view, digest = host.tree(root), subject.commit(root)

    (layer,) = subject.export(digests=[digest]).layers()
    assert untimed(model.apply(BASE, layer)) == untimed(view)
    names = {name for entry in layer.entries for name in entry.xattrs}
    assert not {name for name in names if ".overlay." in name}


@tagged("CMT-011", SHOULD, "PROTOCOL.md, commit; reported as containerd#6077")
def test_a_commit_while_writes_go_on_is_a_whole_layer(subject, host):
    """A commit neither waits for a writer nor fails; what the writer did not touch is all there."""
    script = 'cd "$0"; echo 1 > kept; echo x >> log; echo ready; '
    script += "while :; do echo x >> log; : > t; echo x > t; done"
    with (
        subject.stacked(BASE, writable=True) as root,
        host.remote.start(["sh", "-c", script, root]) as writer,
    ):
        assert writer.read_line(10) == b"ready"
        digests = [subject.commit(root) for _ in range(3)]
        writer.signal(signal.SIGKILL)
        writer.finish(timeout=10)

    for digest in digests:
        tree = subject.tree(BASE, digest)
        assert {"kept", "log", *model.apply(BASE)} <= set(tree)


@tagged("CMT-012", SHOULD, "PROTOCOL.md, commit: sockets are left out; unix(7)")
def test_a_socket_does_not_stop_a_commit(subject, host):
    """A socket in a view, which archives cannot hold, is left out of the layer without an error."""
    with subject.stacked(BASE, writable=True) as root:
        host.write(f"{root}/beside", b"x")
        host.call("mknod", f"{root}/socket", stat.S_IFSOCK | 0o600)
        digest = subject.commit(root)

    assert "socket" not in subject.tree(BASE, digest)
    assert "beside" in subject.tree(BASE, digest)


def times_after_commit(subject, host, stamp):
    """Return the times of what was changed in a view, and those of the same in its commit."""
    names = ("d/a", "d", "n", "n/s")
    with subject.stacked(BASE, writable=True) as root:
        subject.inside(root, f"echo 1 >> d/a && mkdir n && ln -s x n/s && touch -hd {stamp} n/s")
        subject.inside(root, f"touch -d {stamp} d/a d n")
        view, digest = host.tree(root), subject.commit(root)
    tree = subject.tree(BASE, digest)
    return [view[name].mtime_ns for name in names], [tree[name].mtime_ns for name in names]


@tagged("CMT-013", MUST, "image-spec layer.md, File Attributes: Modification Time")
def test_a_committed_time_is_the_views(subject, host):
    """Files, directories and symlinks that were changed have their times in the layer."""
    view, committed = times_after_commit(subject, host, "@981173106")
    assert committed == view


@tagged("CMT-014", SHOULD, "image-spec layer.md, File Attributes: Modification Time")
def test_a_committed_time_is_the_views_to_the_nanosecond(subject, host):
    """The times of what was changed are in the layer as finely as the view has them."""
    view, committed = times_after_commit(subject, host, "@981173106.123456789")
    assert committed == view
