"""Stacking: a list of layers, base first, is one view at one target, or nothing is there."""

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import Dir, File, Layer, Symlink, Whiteout

APPLYING = "image-spec layer.md, Applying Changesets"
A = Layer(Dir("d"), File("d/a", b"a"), File("same", b"from a"), File("gone"))
B = Layer(Dir("d"), File("d/b", b"b"), File("same", b"from b"), Whiteout("gone"))
C = Layer(Dir("d", mode=0o700), File("d/c", b"c"), File("same", b"from c"), File("gone", b"back"))
ODD = [
    "a:b,c\\d",
    "with space",
    "new\nline",
    "grüße",
    "x=y,upperdir=z",
    "not utf-8 \udcff",
    "\\072",
]
ODD_IDS = ["colon", "space", "newline", "unicode", "option", "not UTF-8", "octal"]


@clause("STK-001", MUST, f"{APPLYING}; PROTOCOL.md, 3: base first")
@pytest.mark.parametrize(
    "layers", [[A, B, C], [C, B, A], [B, A, C], [A, C, B]], ids=["abc", "cba", "bac", "acb"]
)
def test_layers_are_stacked_base_first(subject, layers):
    """The list is base first: what a later layer says of a path counts."""
    assert subject.tree(*layers) == model.apply(*layers)


@clause("STK-002", MUST, "PROTOCOL.md, 3: what stands more than once counts at its last place")
def test_a_layer_named_twice_counts_at_its_topmost_place(subject):
    """A layer that is listed twice counts once, at its last place."""
    assert subject.tree(A, B, A) == model.apply(B, A) == model.apply(A, B, A)
    assert subject.tree(A, A) == model.apply(A)


@clause("STK-003", MUST, "PROTOCOL.md, 3: EROFS, also for root; mount(2), MS_RDONLY")
@pytest.mark.parametrize("layers", [[A], [A, B]], ids=["one layer", "two layers"])
def test_a_read_only_view_takes_no_change(subject, host, layers):
    """Writing, making, removing, or changing anything in a read-only view fails with EROFS."""
    with subject.stacked(*layers) as root:
        changes = [
            lambda: host.write(f"{root}/new", b"x"),
            lambda: host.write(f"{root}/same", b"x", offset=0),
            lambda: host.call("mkdir", f"{root}/d/new"),
            lambda: host.call("unlink", f"{root}/same"),
            lambda: host.call("chmod", f"{root}/same", 0o600),
            lambda: host.call("setxattr", f"{root}/same", "user.x", b"1"),
            lambda: host.call("rename", f"{root}/same", f"{root}/other"),
        ]
        for change in changes:
            with pytest.raises(OSError, match="Read-only file system"):
                change()
        assert host.tree(root) == model.apply(*layers)


@clause("STK-004", MUST, "PROTOCOL.md, 1 and 3: views stay mounted")
def test_a_view_outlives_the_process_that_made_it(subject, host):
    """When the subject's process has ended, its views are mounted as before, and as read-only."""
    root = subject.stack(A, B)
    subject.restart()

    assert host.tree(root) == model.apply(A, B)
    with pytest.raises(OSError, match="Read-only file system"):
        host.write(f"{root}/new", b"x")
    subject.unmount(root)


@clause("STK-005", MUST, "PROTOCOL.md, 3: the layers stay as they are", needs=("writable",))
def test_changes_of_a_writable_view_stay_in_it(subject, host):
    """What is changed in a writable view shows there, and in no other view of the same layers."""
    with subject.stacked(A, B) as other, subject.stacked(A, B, writable=True) as root:
        assert host.tree(root) == model.apply(A, B)
        host.write(f"{root}/new", b"new")
        host.write(f"{root}/same", b"changed")
        host.call("unlink", f"{root}/d/a")
        host.call("chmod", f"{root}/d", 0o700)

        assert host.read(f"{root}/new") == b"new"
        assert host.read(f"{root}/same") == b"changed"
        assert host.listdir(f"{root}/d") == ["b"]
        assert host.tree(other) == model.apply(A, B)
        assert subject.tree(A, B) == model.apply(A, B)


@clause("STK-006", MUST, "PROTOCOL.md, 3: changes belong to the view alone", needs=("writable",))
def test_two_writable_views_of_one_stack_are_separate(subject, host):
    """Two writable views of the same layers do not see each other's changes."""
    with (
        subject.stacked(A, B, writable=True) as one,
        subject.stacked(A, B, writable=True) as two,
    ):
        host.write(f"{one}/same", b"one")
        host.call("unlink", f"{two}/same")
        host.write(f"{two}/d/new", b"two")

        assert host.read(f"{one}/same") == b"one"
        assert not host.exists(f"{one}/d/new")
        assert not host.exists(f"{two}/same")


@clause("STK-007", MUST, "PROTOCOL.md, 3", needs=("writable",))
def test_one_layer_can_be_a_writable_view(subject, host):
    """A single layer can be stacked writable, and is whole afterwards."""
    with subject.stacked(A, writable=True) as root:
        assert host.tree(root) == model.apply(A)
        host.write(f"{root}/d/a", b"changed")
        assert host.read(f"{root}/d/a") == b"changed"
    assert subject.tree(A) == model.apply(A)


@clause(
    "STK-008", MUST, "PROTOCOL.md, 9: limits.max_layers; reported as buildkit#4810, storage#1159"
)
def test_as_many_layers_as_declared_are_stacked(subject, host):
    """A stack of up to ``limits.max_layers`` layers shows every one of them."""
    most = subject.raw.config.limits.max_layers or 128
    layers = [Layer(File(f"f{n}"), File("top", b"%d" % n)) for n in range(most)]

    for depth in sorted({2, 64, 127, 128, 129, most}):
        if depth <= most:
            with subject.stacked(*layers[:depth]) as root:
                assert host.tree(root) == model.apply(*layers[:depth])


@clause("STK-009", MUST, "PROTOCOL.md, limit-exceeded; overlayfs, multiple lower layers")
def test_more_layers_than_declared_are_refused(subject):
    """One layer more than ``limits.max_layers`` is refused with that limit, and nothing is made."""
    most = subject.raw.config.limits.max_layers
    if most is None:
        pytest.skip("the subject declares no limits.max_layers")
    digests = [subject.add(Layer(File(f"f{n}"))) for n in range(most + 1)]

    for writable in [False, True][: 1 + subject.raw.config.declares("writable")]:
        with subject.refuses("limit-exceeded") as refused:
            subject.stack(*digests, writable=writable)
        assert refused.error.limit in {f"max_layers={most}", None}


@clause("STK-010", SHOULD, "PROTOCOL.md, invalid-mount-point")
@pytest.mark.parametrize(
    "what", ["file", "symlink", "dangling symlink", "not empty", "in the store", "parent missing"]
)
def test_a_target_that_cannot_be_mounted_on_is_refused(subject, host, what):
    """A target that is no empty directory, or lies in the store, is refused and left as it was."""
    target = f"{subject.store}/view" if what == "in the store" else subject.path("target")
    if what == "file":
        host.write(target, b"precious")
    elif what == "symlink":
        host.call("symlink", host.mkdir(subject.path("elsewhere")), target)
    elif what == "dangling symlink":
        host.call("symlink", "nowhere", target)
    elif what == "not empty":
        host.write(f"{host.mkdir(target)}/precious", b"precious")
    elif what == "parent missing":
        target = f"{target}/below"
    before = host.tree(target) if host.exists(target) else None

    with subject.refuses("invalid-mount-point"):
        subject.stack(A, B, target=target)
    assert (host.tree(target) if host.exists(target) else None) == before


@clause("STK-011", SHOULD, "PROTOCOL.md, invalid-mount-point: already mounted")
@pytest.mark.parametrize("by", ["this store", "somebody else"])
def test_a_target_that_is_mounted_is_refused(subject, host, by):
    """A target where something is mounted is refused, and what is mounted there stays."""
    target = subject.path("target")
    if by == "this store":
        with subject.stacked(A, target=target):
            with subject.refuses("invalid-mount-point"):
                subject.stack(B, target=target)
            assert host.tree(target) == model.apply(A)
    else:
        with host.mount_tmpfs(target):
            with subject.refuses("invalid-mount-point"):
                subject.stack(B, target=target)
            assert host.listdir(target) == []


@clause("STK-012", MUST, "PROTOCOL.md, 3: a target")
@pytest.mark.parametrize("was_there", [True, False], ids=["empty directory", "missing"])
def test_a_target_is_as_before_when_the_view_is_gone(subject, host, was_there):
    """An empty directory is mounted on and stays; a missing one is made, and goes with the view."""
    target = subject.path("target")
    if was_there:
        host.mkdir(target, 0o750)
    before = host.tree(target) if was_there else None

    with subject.stacked(A, B, target=target) as root:
        assert host.tree(root) == model.apply(A, B)
    assert (host.tree(target) if host.exists(target) else None) == before


@clause("STK-013", MUST, "PROTOCOL.md, 1; reported as moby#40959")
@pytest.mark.parametrize("name", ODD, ids=ODD_IDS)
def test_a_target_may_have_any_name(subject, host, name):
    """A target whose name has separators, spaces or any byte is mounted on like any other."""
    target = f"{host.mkdir(subject.path(name))}/{name}"

    with subject.stacked(A, B, target=target) as root:
        assert host.tree(root) == model.apply(A, B)


@clause("STK-014", MUST, "PROTOCOL.md, 1; reported as moby#40959")
@pytest.mark.parametrize("name", ODD, ids=ODD_IDS)
def test_a_store_may_have_any_name(subject_at, host, name):
    """A store whose path has separators, spaces or any byte works like any other."""
    subject = subject_at(name)
    with subject.stacked(A, B) as root:
        assert host.tree(root) == model.apply(A, B)


@clause("STK-015", SHOULD, "PROTOCOL.md, validation-error: an empty list of layers")
def test_no_layers_are_no_view(subject):
    """An empty list of layers is refused."""
    with subject.refuses("validation-error"):
        subject.stack()


@clause("STK-016", MUST, "PROTOCOL.md, 3: the same layers in any number of views")
def test_one_layer_may_be_in_several_views_at_once(subject, host):
    """A layer takes part in several views at once, at any place; each shows its own stack."""
    with subject.stacked(A, B) as one, subject.stacked(B, A, C) as two, subject.stacked(A) as three:
        assert host.tree(one) == model.apply(A, B)
        assert host.tree(two) == model.apply(B, A, C)
        assert host.tree(three) == model.apply(A)


@clause("STK-017", MUST, "PROTOCOL.md, mount and mounts", needs=("mount", "mounts"))
def test_mount_shows_one_layer_and_mounts_lists_all_views(subject, host):
    """``mount`` shows one layer by itself, read-only; ``mounts`` lists just the views that are."""
    root = subject.mount(B)
    assert host.tree(root) == model.apply(B)
    with pytest.raises(OSError, match="Read-only file system"):
        host.write(f"{root}/new", b"x")

    with subject.stacked(A, B) as other:
        told = {m.target: (list(m.digests), m.writable) for m in subject.call("mounts").mounts}
        assert told == {root: ([B.digest], False), other: ([A.digest, B.digest], False)}
    subject.unmount(root)
    assert subject.call("mounts").mounts == ()


@clause("STK-018", MUST, "PROTOCOL.md, concurrent", needs=("concurrent",))
def test_eight_processes_stack_at_once(subject, host):
    """Eight processes that stack the same layers at targets of their own all get a whole view."""
    digests = [subject.add(A), subject.add(B)]
    targets = [subject.path("view") for _ in range(8)]
    stacking = [subject.begin("stack", digests=digests, target=target) for target in targets]
    for pending in stacking:
        pending.result()

    for target in targets:
        assert host.tree(target) == model.apply(A, B)
        subject.unmount(target)


@clause("STK-019", MUST, "PROTOCOL.md, 3: a failed operation leaves nothing behind")
def test_after_a_refused_stack_the_same_target_works(subject, host):
    """Whatever a stack was refused for, the same target can be used at once for a good one."""
    target = subject.path("target")
    with subject.refuses("layer-not-found"):
        subject.stack(A, "sha256:" + "0" * 64, target=target)

    with subject.stacked(A, B, target=target) as root:
        assert host.tree(root) == model.apply(A, B)


COPY_UP = {
    "a lower file": ("d/a", lambda host, path: host.write(path, b"changed")),
    "mode of a lower file": ("same", lambda host, path: host.call("chmod", path, 0o4711)),
    "attributes of a lower directory": (
        "d",
        lambda host, path: host.call("setxattr", path, "user.x", b"1"),
    ),
    "time of a lower file": ("d/a", lambda host, path: host.call("utime", path, ns=[5, 5])),
}


@clause(
    "STK-020", MUST, "overlayfs, Non-directories", profile="overlay",
    needs=("writable",), target_needs=("user_xattrs",),
)  # fmt: skip
@pytest.mark.parametrize("change", COPY_UP)
def test_a_change_of_a_lower_file_changes_nothing_else(subject, host, change):
    """Changing one thing of a lower file in a writable view changes only that thing."""
    path, act = COPY_UP[change]
    with subject.stacked(A, B, writable=True) as root:
        before = dict(host.tree(root))
        act(host, f"{root}/{path}")
        after = dict(host.tree(root))

    changed = [name for name in before if before[name] != after[name]]
    assert before.keys() == after.keys()
    assert changed == [path]
    assert len(before[path].differences(after[path])) <= 3


@clause("STK-021", SHOULD, "overlayfs, redirect_dir", profile="overlay", needs=("writable",))
def test_a_lower_directory_can_be_moved(subject, host):
    """mv(1) moves a directory of a lower layer, as it moves one of any file system."""
    with subject.stacked(A, B, writable=True) as root:
        done = host.run(["mv", f"{root}/d", f"{root}/moved"])
        assert done.status == 0, done.stderr
        assert host.listdir(f"{root}/moved") == ["a", "b"]
        assert not host.exists(f"{root}/d")


@clause("STK-022", SHOULD, "overlayfs, Permission model; execve(2)", profile="overlay")
def test_a_program_can_be_run_from_a_view(subject, host):
    """A file with execute permission in a view can be executed, in a read-only one too."""
    script = Layer(File("run", b"#!/bin/sh\necho ran\n", mode=0o755), Symlink("link", to="run"))

    with subject.stacked(A, script) as root:
        assert host.run([f"{root}/link"]).stdout == b"ran\n"
