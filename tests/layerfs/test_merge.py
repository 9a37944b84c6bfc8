import io
import os
import resource
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerfs.errors import (
    InvalidLayerPathError,
    PermissionDeniedError,
    StorageError,
    ValidationError,
)
from layerfs.merge import merge

from .changesets import Change, Inode, apply, lay_out, merged, opened, parsed, shown


def file(data=b"", mode=0o644, mtime=1):
    return Inode("file", mode, mtime, data)


def directory(mode=0o755, mtime=1):
    return Inode("dir", mode, mtime)


def change(*steps):
    """A layer of ("hold", path, inode), ("hide", path), ("make_opaque", path), ("link", a, b)."""
    made = Change()
    for step, *arguments in steps:
        getattr(made, step)(*arguments)
    return made


def names(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [one.name + "/" * one.isdir() for one in archive]


def examples(count):
    # No database: the tree may belong to another user.
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


# --- the promise, on random layers

component = st.sampled_from(["a", "b", "a-", "c"])
path = st.lists(component, min_size=1, max_size=3).map("/".join)
inode = st.one_of(
    st.builds(file, st.binary(max_size=2), st.sampled_from([0o644, 0o600]), st.integers(0, 3)),
    st.builds(directory, st.sampled_from([0o755, 0o700]), st.integers(0, 3)),
    st.builds(lambda to: Inode("symlink", 0o777, 1, to.encode()), path),
)
step = st.one_of(
    st.tuples(st.just("hold"), path, inode),
    st.tuples(st.just("hold"), path, inode),
    st.tuples(st.just("hold"), st.just("."), st.builds(directory, st.just(0o711), st.just(5))),
    st.tuples(st.just("hide"), path),
    st.tuples(st.just("make_opaque"), st.one_of(st.just("."), path)),
    st.tuples(st.just("link"), path, path),
)
layer = st.lists(step, max_size=8).map(lambda steps: change(*steps))


@examples(300)
@given(base=st.lists(layer, max_size=2), layers=st.lists(layer, min_size=1, max_size=4))
def test_the_merged_layer_does_what_its_sources_do_over_any_base(base, layers):
    before = {}
    for one in base:
        before = apply(before, one)
    expected = before
    for one in layers:
        expected = apply(expected, one)
    with tempfile.TemporaryDirectory() as scratch:
        result = parsed(merged(layers, Path(scratch)))
    assert shown(apply(before, result)) == shown(expected)


@examples(100)
@given(st.lists(layer, min_size=3, max_size=3))
def test_merging_in_two_steps_is_merging_in_one(layers):
    with tempfile.TemporaryDirectory() as scratch:
        paths = [Path(scratch) / name for name in "abcde"]
        for one in paths:
            one.mkdir()
        at_once = merged(layers, paths[0])
        left = merged([parsed(merged(layers[:2], paths[1])), layers[2]], paths[2])
        right = merged([layers[0], parsed(merged(layers[1:], paths[3]))], paths[4])
    before = apply({}, change(("hold", "a/b/c", file()), ("hold", "c", directory())))
    outcome = shown(apply(before, parsed(at_once)))
    assert shown(apply(before, parsed(left))) == outcome
    assert shown(apply(before, parsed(right))) == outcome


@examples(50)
@given(st.lists(layer, min_size=1, max_size=3))
def test_members_stand_in_the_order_of_their_names(layers):
    with tempfile.TemporaryDirectory() as scratch:
        data = merged(layers, Path(scratch))
    found = names(data)
    if "./" in found:
        assert found[0] == "./"
    plain = [one for one in found if one != "./" and not one.endswith(".wh..wh..opq")]
    assert plain == sorted(plain)
    assert len(found) == len(set(found))
    for at, one in enumerate(found):
        above = one.removesuffix(".wh..wh..opq")
        if above != one and (above or "./") in found:
            assert found[at - 1] == (above or "./")


# --- rules, one by one


def test_no_layer_is_refused():
    with pytest.raises(ValidationError):
        merge([], io.BytesIO(), userxattr=True)


def test_whiteouts_are_kept_since_a_base_may_hold_the_name(tmp_path):
    lower = change(("hold", "f", file()))
    upper = change(("hide", "f"), ("hide", "g"))
    assert names(merged([lower, upper], tmp_path)) == [".wh.f", ".wh.g"]


def test_a_file_over_a_whiteout_is_only_the_file(tmp_path):
    assert names(merged([change(("hide", "f")), change(("hold", "f", file()))], tmp_path)) == ["f"]


@pytest.mark.parametrize("below", [("hide", "d"), ("hold", "d", file())], ids=["whiteout", "file"])
def test_a_directory_over_a_whiteout_or_a_file_is_opaque(tmp_path, below):
    upper = change(("hold", "d", directory()), ("hold", "d/x", file()))
    found = names(merged([change(below), upper], tmp_path))
    assert found == ["d/", "d/.wh..wh..opq", "d/x"]


def test_a_directory_over_nothing_is_not_opaque(tmp_path):
    lower = change(("hold", "other", file()))
    assert "d/.wh..wh..opq" not in names(merged([lower, change(("hold", "d/x", file()))], tmp_path))


def test_what_an_opaque_directory_hides_is_not_in_the_result(tmp_path):
    lower = change(("hold", "d/old", file()), ("hold", "d/both", file(b"old")))
    upper = change(("make_opaque", "d"), ("hold", "d/both", file(b"new")))
    data = merged([lower, upper], tmp_path)
    assert names(data) == ["d/.wh..wh..opq", "d/both"]
    assert parsed(data).held["d/both"].data == b"new"


def test_an_opaque_root_hides_all_below(tmp_path):
    lower = change(("hold", ".", directory(0o700)), ("hold", "old", file()))
    upper = change(("make_opaque", "."), ("hold", "new", file()))
    assert names(merged([lower, upper], tmp_path)) == ["./", ".wh..wh..opq", "new"]


def test_metadata_is_that_of_the_topmost_layer_that_tells_it(tmp_path):
    layers = [
        change(("hold", "d", directory(0o711, 7))),
        change(("hold", "d", directory(0o700, 8)), ("make_opaque", "d")),
        change(("hold", "d/x", file())),
    ]
    found = parsed(merged(layers, tmp_path)).held["d"]
    assert (found.mode, found.mtime) == (0o700, 8)


def test_an_opaque_marker_alone_leaves_the_directorys_own_metadata(tmp_path):
    layers = [change(("hold", "d", directory(0o711, 7))), change(("make_opaque", "d"))]
    found = parsed(merged(layers, tmp_path))
    assert (found.held["d"].mode, found.opaque) == (0o711, {"d"})


def test_a_directory_that_no_layer_tells_of_has_no_entry(tmp_path):
    layers = [change(("hold", "d/e/x", file())), change(("hold", "d/y", file()))]
    assert names(merged(layers, tmp_path)) == ["d/e/x", "d/y"]


def test_an_implicit_directory_over_a_whiteout_gets_the_default_metadata(tmp_path):
    data = merged([change(("hide", "d")), change(("hold", "d/x", file()))], tmp_path)
    assert names(data) == ["d/", "d/.wh..wh..opq", "d/x"]
    assert (parsed(data).held["d"].mode, parsed(data).held["d"].mtime) == (0o755, 0)


def test_hardlinks_survive_with_their_first_path_as_the_file(tmp_path):
    lower = change(("hold", "b", file(b"1")), ("link", "a", "b"), ("link", "c", "b"))
    upper = change(("hide", "a"))
    data = merged([lower, upper], tmp_path)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert [(one.name, one.linkname) for one in archive] == [
            (".wh.a", ""),
            ("b", ""),
            ("c", "b"),
        ]


def test_the_same_layer_twice_is_the_layer_once(tmp_path):
    one = change(("hold", "d", directory()), ("hold", "d/a", file()), ("link", "d/b", "d/a"))
    once, twice = tmp_path / "once", tmp_path / "twice"
    once.mkdir()
    twice.mkdir()
    assert merged([one, one], twice) == merged([one], once)


def test_symlinks_are_copied_never_followed(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    scratch = tmp_path / "layers"
    scratch.mkdir()
    lower = change(("hold", "d/inner", file()))
    upper = change(("hold", "d", Inode("symlink", 0o777, 1, str(tmp_path / "outside").encode())))
    data = merged([lower, upper], scratch)
    assert names(data) == ["d"]
    assert b"secret" not in data


@pytest.mark.skipif(os.geteuid() != 0, reason="trusted attributes are for the host's root")
def test_only_the_attributes_of_the_stores_own_namespace_count(tmp_path):
    if Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]:
        pytest.skip("trusted attributes are for the initial user namespace")
    layers = [change(("hold", "d/old", file())), change(("make_opaque", "d"))]
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
    assert names(merged(layers, tmp_path / "own", "trusted")) == ["d/.wh..wh..opq"]
    roots = [tmp_path / "other" / "0", tmp_path / "other" / "1"]
    implicit = [lay_out(one, root, "user") for one, root in zip(layers, roots, strict=True)]
    sink = io.BytesIO()
    with opened(*roots) as fds:
        merge(list(zip(fds, implicit, strict=True)), sink, userxattr=False)
    assert names(sink.getvalue()) == ["d/old"]


def test_whiteouts_in_the_form_of_regular_files_are_whiteouts(tmp_path):
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    implicit = lay_out(change(("hold", "d/gone", file()), ("hold", "d/plain", file())), lower)
    (upper / "d").mkdir(parents=True)
    for name in ("gone", "plain"):
        (upper / "d" / name).touch(0o644)
    os.setxattr(upper / "d", "user.overlay.opaque", b"x")
    os.setxattr(upper / "d" / "gone", "user.overlay.whiteout", b"y")
    sink = io.BytesIO()
    with opened(lower, upper) as fds:
        both = [(fds[0], implicit), (fds[1], frozenset({b".", b"d"}))]
        merge(both, sink, userxattr=True)
    assert names(sink.getvalue()) == ["d/.wh.gone", "d/plain"]


def test_attributes_are_kept_without_overlayfs_own(tmp_path):
    root = tmp_path / "layer"
    root.mkdir()
    (root / "f").write_bytes(b"x")
    for name in ("user.zeta", "user.alpha", "user.overlay.origin", "user.overlay.whatever"):
        os.setxattr(root / "f", name, b"\0v\n")
    os.setxattr(root, "user.overlay.impure", b"y")
    sink = io.BytesIO()
    with opened(root) as fds:
        merge([(fds[0], frozenset())], sink, userxattr=True)
    with tarfile.open(fileobj=io.BytesIO(sink.getvalue())) as archive:
        headers = {one.name: list(one.pax_headers) for one in archive}
    assert [key for key in headers["f"] if key != "mtime"] == [
        "SCHILY.xattr.user.alpha",
        "SCHILY.xattr.user.zeta",
    ]
    assert [key for key in headers["."] if key != "mtime"] == []


def test_names_that_a_layer_cannot_hold_are_refused_by_name(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / ".wh.f").touch()
    with opened(tmp_path) as fds, pytest.raises(InvalidLayerPathError) as caught:
        merge([(fds[0], frozenset())], io.BytesIO(), userxattr=True)
    assert caught.value.path == "d/.wh.f"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    (tmp_path / "f").touch(0)
    with opened(tmp_path) as fds, pytest.raises(PermissionDeniedError) as caught:
        merge([(fds[0], frozenset())], io.BytesIO(), userxattr=True)
    assert caught.value.path == "f"


def test_a_tree_that_is_damaged_while_it_is_read_is_a_storage_error(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "x").write_bytes(bytes(1 << 20))

    class Remover:
        def write(self, _data):
            if (tmp_path / "b").exists():
                (tmp_path / "b").rmdir()

    with opened(tmp_path) as fds, pytest.raises(StorageError) as caught:
        merge([(fds[0], frozenset())], Remover(), userxattr=True)
    assert caught.value.path == "b"


def test_errors_of_the_sink_are_passed_on_and_nothing_stays_open(tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 2**20)

    class Full:
        def write(self, _data):
            raise OSError(28, "No space left on device")

    before = os.listdir("/proc/self/fd")
    with opened(tmp_path) as fds, pytest.raises(OSError, match="No space left"):
        merge([(fds[0], frozenset())], Full(), userxattr=True)
    assert os.listdir("/proc/self/fd") == before


def test_trees_deeper_than_the_limit_of_descriptors_and_of_recursion_are_merged(tmp_path):
    depth = 1100
    for number in range(2):
        above = os.open(tmp_path, os.O_RDONLY)
        os.mkdir(f"layer{number}", dir_fd=above)
        name = f"layer{number}"
        for level in range(depth):
            fd = os.open(name, os.O_RDONLY, dir_fd=above)
            os.close(above)
            os.mkdir("d", dir_fd=fd)
            os.close(os.open(f"f{number}", os.O_CREAT, 0o600, dir_fd=fd))
            # Sorts after "d/", so that the directory is needed again on the way up.
            name, above = "d", fd
            if level == depth - 1:
                os.close(above)
    code = f"""
import io, os, resource, sys, tarfile
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from layerfs.merge import merge
fds = [os.open({os.fspath(tmp_path)!r} + f"/layer{{n}}", os.O_RDONLY) for n in range(2)]
sink = io.BytesIO()
merge([(fd, frozenset()) for fd in fds], sink, userxattr=True)
sink.seek(0)
with tarfile.open(fileobj=sink) as archive:
    found = archive.getnames()
assert len(found) == 1 + {depth} * 3, len(found)
assert found[-2:] == ["f0", "f1"], found[-2:]
assert len(os.listdir("/proc/self/fd")) < 16
"""
    subprocess.run([os.sys.executable, "-c", code], check=True)
    subprocess.run(["rm", "-rf", tmp_path], check=True)


def test_more_layers_than_descriptors_are_merged(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    layers = [change(("hold", f"d/e/{n:03}", file(b"%d" % n))) for n in range(200)]
    roots = [tmp_path / str(n) for n in range(200)]
    implicit = [lay_out(one, root) for one, root in zip(layers, roots, strict=True)]
    with opened(*roots) as fds:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(fds) + 20, hard))
        sink = io.BytesIO()
        try:
            # Half of the limit is more than what is left of it.
            merge(list(zip(fds, implicit, strict=True)), sink, userxattr=True)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert names(sink.getvalue()) == [f"d/e/{n:03}" for n in range(200)]


def test_two_merges_of_one_tree_are_the_same_bytes(tmp_path):
    layers = [change(("hold", f"d/{name}", file(name.encode()))) for name in "cab"]
    made = []
    for attempt in ("first", "second"):
        (tmp_path / attempt).mkdir()
        made.append(merged(layers, tmp_path / attempt))
    assert made[0] == made[1]


def test_gnu_tar_and_tarfile_list_the_same(tmp_path):
    odd = {"ü/ñ": file(b"1"), "long/" + "x" * 200: file(b"2"), "d" * 90 + "/" + "e" * 90: file()}
    one = change(*(("hold", name, what) for name, what in odd.items()), ("hide", "gone"))
    data = merged([one], tmp_path)
    listed = subprocess.run(
        ["tar", "--quoting-style=literal", "-tf", "-"], input=data, capture_output=True, check=True
    )
    assert listed.stderr == b""
    assert listed.stdout.decode().splitlines() == names(data)
    assert parsed(data).hidden == {"gone"}
