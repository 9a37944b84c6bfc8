import hashlib
import io
import os
import stat
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from conformance import model
from conformance.layers import Dir, File, Layer, Opaque, Whiteout
from layerfs import mounts, syscalls
from layerfs.backends import Features, marks, probing
from layerfs.backends.overlay import OverlayBackend
from layerfs.errors import (
    HostileLayerError,
    InvalidMountPointError,
    InvalidOverlayError,
    LimitExceededError,
    ReadOnlyFilesystemError,
    StorageError,
    UnmountFailedError,
    ValidationError,
)
from layerfs.tarstream import TarReader
from tests.layerfs.backends.stacks import Bench, seen
from tests.layerfs.isolation import IS_ROOT, both_ways, isolated, process

UNKNOWN = "sha256:" + "0" * 64
ways = pytest.mark.parametrize("writable", [False, True], ids=["readonly", "writable"])


@pytest.fixture
def bench(tmp_path):
    return lambda: Bench(tmp_path)


def store_files(store, count):
    """Store layers with a file each, without the cost of extracting them."""
    made = []
    for number in range(count):
        name = hashlib.sha256(b"%d" % number).hexdigest()
        layer = store.root / "layers" / name
        (layer / "diff").mkdir(parents=True)
        (layer / "diff" / f"file{number}").touch()
        marks.save(layer, marks.Marks(frozenset({b"."})))
        made.append(f"sha256:{name}")
    return made


def assert_clean(store):
    """Nothing is mounted, and no view has left anything."""
    assert os.listdir(store.run) == []
    assert os.listdir(store.target) == []
    assert not mounts.is_mountpoint(store.target)
    below = os.fsencode(store.root.parent)
    assert [e.target for e in mounts.mountinfo() if e.target.startswith(below)] == []


# --- storing layers


@both_ways
def test_a_layer_is_stored_under_its_diff_id(bench, rootless):
    store = bench()
    diff_id = store.add(File("f"), Opaque("d"), Whiteout("gone"))
    tree = store.root / "layers" / diff_id.partition(":")[2] / "diff"
    prefix = "user" if rootless else "trusted"
    assert os.getxattr(tree / "d", f"{prefix}.overlay.opaque") == b"y"
    assert stat.S_ISCHR(os.lstat(tree / "gone").st_mode)
    assert list(store.backend.enumerate()) == [diff_id]
    assert store.backend.size(diff_id) >= 3 * 512


@isolated
def test_publishing_twice_keeps_the_first(bench):
    store = bench()
    layer = Layer(File("f"))
    for number, new in enumerate((True, False)):
        staging = store.root / "staging" / str(number)
        staging.mkdir()
        store.backend.ingest(TarReader(io.BytesIO(layer.tar())), staging)
        assert store.backend.publish(staging, layer.diff_id) is new
        assert staging.exists() is not new


@isolated
def test_what_is_not_named_by_a_digest_is_no_layer(bench):
    store = bench()
    diff_id = store.add(File("f"))
    for name in ("0" * 63, "G" * 64, "x"):
        (store.root / "layers" / name).mkdir()
    (store.root / "layers" / ("1" * 64)).write_text("a file")
    assert list(store.backend.enumerate()) == [diff_id]


def test_a_store_without_layers_enumerates_none(tmp_path):
    assert list(OverlayBackend(tmp_path).enumerate()) == []


@isolated
def test_discarding_moves_the_layer_away_and_may_be_repeated(bench, tmp_path):
    store = bench()
    diff_id = store.add(File("f"))
    trash = tmp_path / "trash"
    trash.mkdir()
    store.backend.discard(diff_id, trash)
    store.backend.discard(diff_id, trash)
    assert list(store.backend.enumerate()) == []
    assert len(os.listdir(trash)) == 1


@isolated
def test_a_hostile_layer_is_not_published_and_its_error_passes(bench):
    store = bench()
    with pytest.raises(HostileLayerError):
        store.add(File("../escape"))
    assert list(store.backend.enumerate()) == []
    assert not (store.root.parent / "escape").exists()


# --- views


@both_ways
@ways
@pytest.mark.parametrize("count", [1, 2, 64, 500])
def test_so_many_layers_can_be_stacked(bench, count, writable, rootless):
    store = bench()
    with store.view(*store_files(store, count), writable=writable) as (root, _):
        assert len(os.listdir(root)) == count
    assert store.backend.features.userxattr is rootless
    assert_clean(store)


@isolated
@ways
def test_one_layer_more_is_refused_before_anything_is_done(bench, writable):
    store = bench()
    with pytest.raises(LimitExceededError, match="501") as caught:
        store.backend.view(
            store_files(store, 501), store.target, store.new_run(), writable=writable
        )
    assert caught.value.limit == "max_layers=500"
    assert_clean(store)


@isolated
def test_a_layer_twice_in_a_stack_is_seen_where_it_is_uppermost(bench):
    store = bench()
    one, other = [File("f", b"one"), File("x")], [File("f", b"other"), Whiteout("x")]
    first, second = store.add(*one), store.add(*other)
    with store.view(first, second, first) as (root, _):
        assert seen(root) == model.apply(Layer(*one), Layer(*other), Layer(*one))
    with store.view(*[first] * 501) as (root, _):
        assert sorted(os.listdir(root)) == ["f", "x"]


@isolated
@ways
def test_no_layers_are_no_stack(bench, writable):
    store = bench()
    with pytest.raises(ValidationError):
        store.backend.view([], store.target, store.new_run(), writable=writable)
    assert_clean(store)


@both_ways
@ways
def test_the_root_directory_has_the_metadata_of_the_layers(bench, writable, rootless):
    store = bench()
    xattrs = {"user.of": b"the root"} | ({} if rootless else {"trusted.of": b"root"})
    base = store.add(Dir("./", mode=0o1751, mtime_ns=1_234_567_891, xattrs=xattrs))
    for stack in ([base], [base, store.add(File("f"))]):
        with store.view(*stack, writable=writable) as (root, _):
            found = root.stat()
            assert stat.S_IMODE(found.st_mode) == 0o1751
            assert found.st_mtime_ns == 1_234_567_891
            assert {name: os.getxattr(root, name) for name in os.listxattr(root)} == xattrs


@both_ways
def test_a_readonly_view_cannot_be_written(bench, rootless):
    store = bench()
    with store.view(store.add(File("f"))) as (root, _):
        with pytest.raises(OSError, match="Read-only file system"):
            (root / "f").write_text("")
        with pytest.raises(OSError, match="Read-only file system"):
            (root / "new").mkdir()
    assert store.backend.features.userxattr is rootless


@isolated
def test_two_writable_views_of_one_stack_do_not_see_each_other(bench, tmp_path):
    store = bench()
    layer = store.add(File("f", b"old"))
    other, run = tmp_path / "other", store.new_run()
    other.mkdir()
    with store.view(layer, writable=True) as (root, _):
        store.backend.view([layer], other, run, writable=True)
        (root / "f").write_text("new")
        assert (other / "f").read_text() == "old"
        store.backend.end_view(other, run)
    with store.view(layer) as (root, _):
        assert (root / "f").read_text() == "old"


@isolated
def test_a_writable_view_is_self_contained(bench):
    """No redirect, and no metacopy: the upperdir by itself says what changed."""
    store = bench()
    with store.view(store.add(File("d/f", b"content")), writable=True) as (root, run):
        with pytest.raises(OSError, match="cross-device"):
            (root / "d").rename(root / "moved")
        (root / "d" / "f").chmod(0o600)
        assert (run / "upper" / "d" / "f").read_bytes() == b"content"


@isolated
@pytest.mark.parametrize("damage", ["tree", "marks", "all"])
def test_a_layer_that_lacks_on_disk_is_named_and_nothing_is_mounted(bench, damage):
    store = bench()
    good, bad = store.add(File("good")), store.add(File("bad"))
    place = store.root / "layers" / bad.partition(":")[2]
    if damage != "tree":
        (place / marks.NAME).unlink()
    if damage != "marks":
        (place / "diff" / "bad").unlink()
        (place / "diff").rmdir()
    with pytest.raises(StorageError, match=bad.partition(":")[2]) as caught:
        store.backend.view([good, bad], store.target, store.new_run(), writable=False)
    assert caught.value.digest == bad
    assert_clean(store)


@isolated
def test_a_layer_that_vanished_since_it_was_stacked_is_named_as_well(bench):
    store = bench()
    good, bad = store.add(File("good")), store.add(File("bad"))
    with store.view(good, bad):
        pass
    (store.root / "layers" / bad.partition(":")[2]).rename(store.root / "elsewhere")
    with pytest.raises(StorageError, match=r"missing.*layerfs repair") as caught:
        store.backend.view([good, bad], store.target, store.new_run(), writable=False)
    assert caught.value.digest == bad
    assert_clean(store)


@isolated
def test_a_target_that_cannot_be_mounted_on_leaves_nothing(bench):
    store = bench()
    layer = store.add(File("f"))
    with pytest.raises(InvalidMountPointError):
        store.backend.view([layer], store.target / "no", store.new_run(), writable=True)
    assert_clean(store)


@isolated
def test_what_the_probe_found_lacking_is_told(bench, monkeypatch):
    store = bench()
    layer = store.add(File("f"))
    lacking = store.backend.features._replace(upper_lacks="it is written in stone")
    monkeypatch.setattr(probing, "probe", lambda _: lacking)
    store.backend = OverlayBackend(store.root, lacking)
    with pytest.raises(InvalidOverlayError, match="written in stone"):
        store.backend.view([layer], store.target, store.new_run(), writable=True)
    assert_clean(store)
    with store.view(layer) as (root, _):
        assert os.listdir(root) == ["f"]


@isolated
def test_what_was_lacking_and_is_there_now_serves(bench):
    store = bench()
    layer = store.add(File("f"))
    lacking = store.backend.features._replace(upper_lacks="it was written in stone")
    store.backend = OverlayBackend(store.root, lacking)
    with store.view(layer, writable=True) as (root, _):
        os.unlink(root / "f")


@isolated
def test_a_store_made_rootless_serves_root_as_well(bench):
    store = bench()
    rootless = Features(
        userxattr=True, squash_ids=True, drop_privileged_xattrs=True, max_layers=500
    )
    store.backend = OverlayBackend(store.root, rootless)
    base, top = store.add(File("d/old")), store.add(Opaque("d"), File("d/new"))
    with store.view(base, top) as (root, _):
        assert os.listdir(root / "d") == ["new"]


@isolated
def test_a_stack_of_500_takes_milliseconds(bench):
    store = bench()
    layers = store_files(store, 500)
    with store.view(*layers):
        pass
    fastest = 1.0
    for _ in range(5):
        begun = time.process_time()
        with store.view(*layers):
            fastest = min(fastest, time.process_time() - begun)
    assert fastest < 0.1  # of processor time: some 20 ms, half of them the kernel's


def test_a_mount_does_not_start_the_tar_machinery():
    code = "import sys, layerfs.backends.overlay; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    tar = {f"layerfs.{name}" for name in ("tarstream", "apply", "diff", "merge", "verifytree")}
    assert not loaded & (tar | {"hashlib", "threading", "subprocess", "pydantic"})


# --- the end of a view


@isolated
def test_ending_a_view_twice_succeeds(bench):
    store = bench()
    run = store.new_run()
    store.backend.view([store.add(File("f"))], store.target, run, writable=True)
    assert store.backend.mounted(store.target, run)
    for _ in range(2):
        store.backend.end_view(store.target, run)
        assert not store.backend.mounted(store.target, run)
    assert_clean(store)


@isolated
def test_a_view_that_somebody_unmounted_is_cleaned_up(bench):
    store = bench()
    run = store.new_run()
    store.backend.view([store.add(File("f"))], store.target, run, writable=True)
    syscalls.umount2(store.target)
    store.target.rmdir()
    store.backend.end_view(store.target, run)
    assert not run.exists()


@isolated
@ways
def test_a_busy_view_keeps_all_that_it_had_and_can_be_retried(bench, writable):
    store = bench()
    run = store.new_run()
    store.backend.view([store.add(File("f", b"old"))], store.target, run, writable=writable)
    if writable:
        (store.target / "new").write_text("kept")
    before = seen(store.target)
    with process("os.chdir(sys.argv[1])", store.target) as child:
        with pytest.raises(UnmountFailedError) as caught:
            store.backend.end_view(store.target, run)
        assert caught.value.holder.startswith(f"process {child.pid} (")
        assert caught.value.holder.endswith("): cwd")
        assert seen(store.target) == before
        child.kill()
        child.wait()
    store.backend.end_view(store.target, run)
    assert_clean(store)


@isolated
def test_a_view_that_lives_on_elsewhere_keeps_its_changes(bench):
    store = bench()
    run = store.new_run()
    store.backend.view([store.add(File("f"))], store.target, run, writable=True)
    (store.target / "new").write_text("kept")
    with process("", unshare=("unshare", "-m")) as child:
        with pytest.raises(UnmountFailedError, match=rf"process {child.pid} .*namespace"):
            store.backend.end_view(store.target, run)
        assert (store.target / "new").read_text() == "kept"
        syscalls.umount2(store.target)
        assert store.backend.held(run) != []
        with pytest.raises(UnmountFailedError, match=rf"process {child.pid} .*namespace"):
            store.backend.end_view(store.target, run)
        assert (run / "upper" / "new").exists()
        child.kill()
        child.wait()
    assert store.backend.held(run) == []
    store.backend.end_view(store.target, run)
    assert_clean(store)


@isolated
def test_a_foreign_mount_on_the_same_target_is_left_alone(bench):
    store = bench()
    run = store.new_run()
    store.backend.view([store.add(File("f"))], store.target, run, writable=False)
    syscalls.mount("foreign", store.target, "tmpfs")
    assert not store.backend.mounted(store.target, run)
    with pytest.raises(UnmountFailedError, match="covered by another mount"):
        store.backend.end_view(store.target, run)
    assert mounts.mount_at(store.target).source == b"foreign"
    syscalls.umount2(store.target)
    store.backend.end_view(store.target, run)
    assert_clean(store)


@isolated
def test_a_foreign_mount_where_a_view_was_is_left_alone(bench):
    store = bench()
    run = store.new_run()
    store.backend.view([store.add(File("f"))], store.target, run, writable=False)
    syscalls.umount2(store.target)
    syscalls.mount("foreign", store.target, "tmpfs")
    store.backend.end_view(store.target, run)
    assert not run.exists()
    assert mounts.mount_at(store.target).source == b"foreign"


@isolated
def test_a_view_that_was_moved_is_found(bench, tmp_path):
    store = bench()
    run = store.new_run()
    store.backend.view([store.add(File("f"))], store.target, run, writable=False)
    (tmp_path / "elsewhere").mkdir()
    syscalls.mount(store.target, tmp_path / "elsewhere", flags=syscalls.MS_MOVE)
    with pytest.raises(UnmountFailedError, match="elsewhere"):
        store.backend.end_view(store.target, run)
    store.backend.end_view(tmp_path / "elsewhere", run)
    assert not run.exists()


# --- changes, merge, damage


def changes(store, run):
    sink = io.BytesIO()
    store.backend.changes(run, sink)
    return sink.getvalue()


def names(tar):
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return archive.getnames()


@both_ways
def test_changes_upon_the_stack_are_the_view(bench, rootless):
    store = bench()
    base = store.add(File("d/old"), File("gone"), File("x/y"))
    with store.view(base, writable=True) as (root, run):
        (root / "d" / "new").write_text("new")
        (root / "gone").unlink()
        (root / "x" / "y").unlink()
        (root / "x").rmdir()
        (root / "x").mkdir()
        tar = changes(store, run)
        assert changes(store, run) == tar
        wanted = seen(root)
    committed = f"sha256:{hashlib.sha256(tar).hexdigest()}"
    staging = store.root / "staging" / "commit"
    staging.mkdir()
    store.backend.ingest(TarReader(io.BytesIO(tar)), staging)
    store.backend.publish(staging, committed)
    with store.view(base, committed) as (root, _):
        assert seen(root) == wanted
    assert store.backend.features.userxattr is rootless


@isolated
def test_nothing_changed_is_an_empty_layer(bench):
    store = bench()
    with store.view(store.add(Dir("./", mode=0o711), File("f")), writable=True) as (_, run):
        assert names(changes(store, run)) == []


@isolated
@pytest.mark.parametrize(
    "change",
    [
        lambda root: root.chmod(0o700),
        lambda root: os.utime(root, ns=(5, 5)),
        lambda root: os.setxattr(root, "user.new", b""),
        lambda root: (root / "f").unlink(),
    ],
    ids=["mode", "mtime", "attribute", "entry"],
)
def test_a_changed_root_directory_is_part_of_the_changes(bench, change):
    store = bench()
    with store.view(store.add(File("f")), writable=True) as (root, run):
        change(root)
        assert Path(names(changes(store, run))[0]) == Path()


@isolated
def test_a_readonly_view_has_no_changes(bench):
    store = bench()
    with store.view(store.add(File("f"))) as (_, run), pytest.raises(ReadOnlyFilesystemError):
        changes(store, run)


@isolated
def test_merged_layers_are_the_stack(bench):
    store = bench()
    recipes = [
        [Dir("d", mode=0o700), File("d/a"), File("gone")],
        [File("d/b"), Whiteout("gone")],
        [Opaque("e"), File("e/c")],
    ]
    diff_ids = [store.add(*recipe) for recipe in recipes]
    sink = io.BytesIO()
    store.backend.merge([*diff_ids, diff_ids[0], diff_ids[1], diff_ids[2]], sink)
    merged = f"sha256:{hashlib.sha256(sink.getvalue()).hexdigest()}"
    staging = store.root / "staging" / "merge"
    staging.mkdir()
    store.backend.ingest(TarReader(io.BytesIO(sink.getvalue())), staging)
    store.backend.publish(staging, merged)
    with store.view(merged) as (root, _):
        assert seen(root) == model.apply(*(Layer(*recipe) for recipe in recipes))


@isolated
def test_merging_what_is_not_there_is_an_error_of_the_store(bench):
    with pytest.raises(StorageError):
        bench().backend.merge([UNKNOWN], io.BytesIO())


@isolated
def test_damage_names_the_path(bench):
    store = bench()
    layer = Layer(File("d/f", b"content"))
    diff_id = store.add(*layer.entries)
    place = store.root / "layers" / diff_id.partition(":")[2]

    def damage():
        return store.backend.damage(diff_id, TarReader(io.BytesIO(layer.tar())))

    assert damage() == []
    (place / "diff" / "d" / "f").write_bytes(b"CONTENT")
    assert {path for path, _ in damage()} == {b"d/f"}


@isolated
@pytest.mark.parametrize("what", ["marks", "diff", "."])
def test_damage_of_what_is_beside_the_tree_is_found(bench, tmp_path, what):
    store = bench()
    layer = Layer(File("f"))
    diff_id = store.add(*layer.entries)
    place = store.root / "layers" / diff_id.partition(":")[2]
    (place / what).rename(tmp_path / "away") if what != "." else place.rename(tmp_path / "away")
    source = io.BytesIO(layer.tar())
    ((path, problem),) = store.backend.damage(diff_id, TarReader(source))
    assert source.read() == b""
    assert path == b"."
    assert "repair" in problem


@pytest.mark.skipif(IS_ROOT, reason="root may mount without a namespace")
def test_an_ordinary_user_can_store_layers_and_mount_them_in_a_namespace(tmp_path):
    store = Bench(tmp_path)
    assert store.backend.features.mount_lacks
    layer = store.add(File("d/f"), Whiteout("d/gone"))

    @isolated
    def mounted():
        with store.view(layer) as (root, _):
            assert os.listdir(root / "d") == ["f"]
            assert (root / "d" / "f").stat().st_uid == 0

    mounted()
