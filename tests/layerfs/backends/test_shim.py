"""Directories whose metadata, or whose listing, overlayfs alone would get wrong."""

import os
import stat
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance import model
from conformance.layers import Dir, File, Layer, Opaque, Symlink, Whiteout
from layerfs.backends import Features, shim
from layerfs.errors import LimitExceededError
from tests.layerfs.backends.stacks import Bench, seen
from tests.layerfs.isolation import IS_ROOT, both_ways, isolated

SECOND = 1_000_000_000
OLD = {"mode": 0o2751, "mtime_ns": 5 * SECOND}
NEW = {"mode": 0o700, "mtime_ns": 9 * SECOND}
DEFAULT = {"mode": 0o755, "mtime_ns": None}


@pytest.fixture
def bench(tmp_path):
    return lambda: Bench(tmp_path)


def features(*, userxattr):
    """What a probe would find, without the cost of it for each of many small cases."""
    return Features(
        userxattr=userxattr, squash_ids=userxattr, drop_privileged_xattrs=userxattr, max_layers=500
    )


def metadata(path):
    found = os.lstat(path)
    return {"mode": stat.S_IMODE(found.st_mode), "mtime_ns": found.st_mtime_ns}


CASES = {
    "no_layer_describes_it": ([[File("d/a")], [File("d/b")]], {}),
    "the_base_describes_it": ([[Dir("d", **OLD), File("d/a")], [File("d/b")]], {"d": OLD}),
    "the_top_describes_it": ([[Dir("d", **OLD)], [File("d/b")], [Dir("d", **NEW)]], {"d": NEW}),
    "the_nearest_below_describes_it": (
        [[Dir("d", **OLD)], [Dir("d", **NEW)], [File("d/b")]],
        {"d": NEW},
    ),
    "it_is_described_two_layers_down": (
        [[Dir("d", **OLD)], [File("d/a")], [File("d/b")]],
        {"d": OLD},
    ),
    "a_deeper_one": (
        [[Dir("d", **OLD), Dir("d/e", **NEW), Dir("d/e/f", **OLD)], [File("d/e/f/g/x")]],
        {"d": OLD, "d/e": NEW, "d/e/f": OLD},
    ),
    "a_described_one_in_an_implicit_one": (
        [[Dir("d", **OLD), Dir("d/e", **OLD)], [Dir("d/e", **NEW)]],
        {"d": OLD, "d/e": NEW},
    ),
    "the_root": ([[Dir("./", **OLD)], [File("b")]], {".": OLD}),
    "the_root_from_between": ([[File("a")], [Dir("./", **NEW)], [File("b")]], {".": NEW}),
    "opaque_itself": ([[Dir("d", **OLD), File("d/a")], [Opaque("d"), File("d/b")]], {"d": OLD}),
    "below_an_opaque_one": (
        [[Dir("d", **OLD), Dir("d/e", **OLD), File("d/e/a")], [Opaque("d"), File("d/e/b")]],
        {"d": OLD},
    ),
    "hidden_and_made_anew": ([[Dir("d", **OLD), File("d/a")], [Whiteout("d"), File("d/b")]], {}),
    "hidden_between": (
        [[Dir("d", **OLD), File("d/a")], [Whiteout("d")], [File("d/b")]],
        {},
    ),
    "its_parent_hidden_between": (
        [[Dir("d", **OLD), Dir("d/e", **OLD)], [Whiteout("d")], [File("d/e/b")]],
        {},
    ),
    "its_parent_opaque_between": (
        [[Dir("d", **OLD), Dir("d/e", **OLD)], [Opaque("d")], [File("d/e/b")]],
        {"d": OLD},
    ),
    "a_file_between": ([[Dir("d", **OLD)], [File("d")], [File("d/b")]], {}),
    "a_symlink_between": ([[Dir("d", **OLD)], [Symlink("d", "x")], [File("d/b")]], {}),
    "hidden_above": ([[Dir("d", **OLD)], [File("d/b")], [Whiteout("d")]], {}),
    "a_file_above": ([[Dir("d", **OLD)], [File("d/b")], [File("d")]], {}),
    "its_parent_opaque_above": (
        [[Dir("d", **OLD), Dir("d/e", **OLD)], [File("d/e/b")], [Opaque("d")]],
        {"d": OLD},
    ),
    "an_opaque_root_above": ([[Dir("./", **OLD), Dir("d")], [Opaque("."), File("b")]], {".": OLD}),
    "whiteouts_in_one_layer_only": ([[File("d/a"), Whiteout("d/gone")]], {}),
    "whiteouts_in_an_opaque_directory": (
        [[File("d/gone")], [Opaque("d"), Whiteout("d/gone"), File("d/a")]],
        {},
    ),
    "whiteouts_in_a_new_directory": (
        [[Dir("d", **OLD)], [Dir("d/e", **NEW), Whiteout("d/e/gone"), Whiteout("d/gone")]],
        {"d": OLD, "d/e": NEW},
    ),
    "whiteouts_at_the_top": ([[Whiteout("gone"), File("a")]], {}),
    "whiteouts_through_a_symlink": (
        [[Dir("usr/bin"), Symlink("bin", "usr/bin"), Whiteout("bin/gone"), File("bin/a")]],
        {},
    ),
}


@both_ways
@pytest.mark.parametrize("writable", [False, True], ids=["readonly", "writable"])
@pytest.mark.parametrize("case", CASES)
def test_the_view_is_that_of_the_layers_one_after_the_other(tmp_path, case, writable, rootless):
    recipes, expected = CASES[case]
    store = Bench(tmp_path, features(userxattr=rootless))
    with store.view(*(store.add(*recipe) for recipe in recipes), writable=writable) as (root, _):
        assert seen(root) == model.apply(*(Layer(*recipe) for recipe in recipes))
        assert {path: metadata(root / path) for path in expected} == expected


@isolated
def test_extended_attributes_of_an_implicit_directory_come_from_below(bench):
    store = bench()
    base = store.add(Dir("d", xattrs={"user.from": b"base"}))
    with store.view(base, store.add(File("d/a"))) as (root, _):
        assert os.getxattr(root / "d", "user.from") == b"base"


@isolated
def test_the_shim_has_no_more_than_is_needed(bench):
    store = bench()
    base = store.add(Dir("a"), Dir("b"), Dir("b/c"), Dir("e"), File("e/file"))
    with store.view(base, store.add(File("b/c/d/new"))) as (_, run):
        assert sorted(path for path, _, _ in os.walk(run / "shim")) == [
            f"{run}/shim", f"{run}/shim/b", f"{run}/shim/b/c",
        ]  # fmt: skip
    with store.view(base, store.add(Dir("e", mode=0o700))) as (_, run):
        assert os.listdir(run) == []


@isolated
def test_a_shim_counts_as_a_layer(bench):
    store = bench()
    layers = [store.add(Dir("d", **OLD)), *(store.add(File(f"d/{n}")) for n in range(499))]
    with pytest.raises(LimitExceededError, match="501") as caught:
        store.backend.view(layers, store.target, store.new_run(), writable=False)
    assert caught.value.limit == "max_layers=500"
    assert os.listdir(store.run) == []
    with store.view(*layers[:-1]) as (root, _):
        assert metadata(root / "d")["mode"] == OLD["mode"]


@isolated
def test_paths_may_be_longer_than_the_kernel_takes_at_once(bench):
    store = bench()
    path = "/".join(["d" * 200] * 20)
    base = store.add(*(Dir(path[: 201 * depth + 200], **OLD) for depth in range(20)))
    top = store.add(File(f"{path}/file"))
    with store.view(base, top) as (root, run):
        for where in (root, run / "shim"):
            fd = os.open(where, os.O_PATH)
            for name in path.split("/"):
                below = os.open(name, os.O_PATH, dir_fd=fd)
                os.close(fd)
                fd = below
                assert stat.S_IMODE(os.fstat(fd).st_mode) == OLD["mode"]
            os.close(fd)


def test_copied_metadata_replaces_what_was_inherited(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(mode=0o710)
    target.mkdir()
    os.setxattr(source, "user.kept", b"1")
    os.setxattr(target, "user.foreign", b"2")
    os.utime(source, ns=(1, 12345))
    assert not shim.same_metadata(os.fsencode(source), os.fsencode(target))
    shim.copy_metadata(os.fsencode(source), os.fsencode(target))
    assert shim.same_metadata(os.fsencode(source), os.fsencode(target))
    assert os.listxattr(target) == ["user.kept"]
    assert metadata(target) == {"mode": 0o710, "mtime_ns": 12345}


# --- any layers at all

names = st.sampled_from(["a", "b", "c"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
entries = st.one_of(
    st.builds(File, paths, st.binary(max_size=2)),
    st.builds(Dir, paths, mode=st.sampled_from([0o700, 0o711, 0o1777])),
    st.builds(Whiteout, paths),
    st.builds(Opaque, st.one_of(paths, st.just("."))),
)
roots = st.builds(Dir, st.just("./"), mode=st.sampled_from([0o700, 0o711]))
recipes_ = st.builds(
    lambda root, others: root + others,
    st.lists(roots, max_size=1),
    st.lists(entries, min_size=1, max_size=5),
)
layers = st.lists(recipes_, min_size=1, max_size=5)


def defined(recipes):
    """Keep the recipes that have a result: no file is used as a directory within one layer."""
    try:
        model.apply(*(Layer(*recipe) for recipe in recipes))
    except model.Undefined:
        return False
    return True


@isolated
def test_any_stack_is_that_of_the_layers_one_after_the_other(tmp_path):
    @settings(
        max_examples=120,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(layers.filter(defined), st.booleans())
    def check(recipes, writable):
        with tempfile.TemporaryDirectory(dir=tmp_path) as place:
            store = Bench(place, features(userxattr=not IS_ROOT))
            diff_ids = [store.add(*recipe) for recipe in recipes]
            with store.view(*diff_ids, writable=writable) as (root, _):
                assert seen(root) == model.apply(*(Layer(*recipe) for recipe in recipes))

    check()
