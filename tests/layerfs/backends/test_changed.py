"""The difference of a clone and its origin, beside what overlayfs keeps of the same changes.

Clones of ZFS cannot be had on every machine. A snapshot of btrfs is like one in all that counts
here: inode numbers and times of change are those of the origin until something is changed.
"""

import io
import os
import shutil
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest

from layerfs import mounts
from layerfs.backends.changed import unreadable, write_difference
from layerfs.diff import diff
from layerfs.errors import InvalidLayerPathError

from ..changesets import opened  # noqa: TID252 - tests is no package to name
from ..extraction import HOST_ROOT  # noqa: TID252
from ..isolation import isolated  # noqa: TID252

pytestmark = [
    pytest.mark.skipif(not HOST_ROOT, reason="needs the host's root"),
    pytest.mark.skipif(shutil.which("mkfs.btrfs") is None, reason="needs mkfs.btrfs (btrfs-progs)"),
]
#: Beyond this everything was changed by the test.
OLD = 1_000_000_000


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    place = tmp_path_factory.mktemp("btrfs")
    image, root = place / "image", place / "root"
    with image.open("wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True)
    root.mkdir()
    done = subprocess.run(["mount", "-o", "loop", image, root], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"btrfs cannot be mounted here: {done.stderr.decode().strip()}")
    yield root
    # Lazily: a namespace that another test makes meanwhile has a copy of it, and keeps it busy.
    subprocess.run(["umount", "--lazy", root], check=True)


class Pair:
    """One tree twice: a clone of it, and an overlay on it; both are to be changed alike."""

    def __init__(self, place):
        self.origin, self.clone = place / "origin", place / "clone"
        self.upper, self.merged, self.work = place / "upper", place / "merged", place / "work"
        subprocess.run(["btrfs", "-q", "subvolume", "create", self.origin], check=True)
        self._fill()
        command = ["btrfs", "-q", "subvolume", "snapshot", self.origin, self.clone]
        subprocess.run(command, check=True)
        for path in (self.upper, self.merged, self.work):
            path.mkdir()
        shutil.copystat(self.origin, self.upper)
        self.reference = place / "reference"
        self.reference.mkdir()
        shutil.copystat(self.origin, self.reference)

    def _fill(self):
        root = self.origin
        for name in ("d/sub/deep", "gone/below", "e"):
            (root / name).mkdir(parents=True)
        for name in ("f", "g", "d/x", "d/y", "d/sub/z", "d/sub/deep/w", "gone/a", "gone/below/b"):
            (root / name).write_text(name)
        (root / "link").symlink_to("f")
        os.mkfifo(root / "fifo")
        for path in [*root.rglob("*"), root]:
            os.utime(path, (OLD, OLD), follow_symlinks=False)

    def both(self, change):
        """Change both, and give all that this has touched one and the same time.

        For isolated tests: in the host's namespace others would take copies of the overlay.
        """
        upper, work = str(self.upper), str(self.work)
        mounts.mount_overlay([str(self.origin)], self.merged, upper=upper, work=work)
        for root in (self.clone, self.merged):
            change(root)
            for path in [*root.rglob("*"), root]:
                if path.lstat().st_mtime > OLD + 1000:
                    os.utime(path, (OLD + 7, OLD + 7), follow_symlinks=False)
        mounts.unmount(self.merged)
        return self.of_clone(), self.of_overlay()

    def of_clone(self, **options):
        sink = io.BytesIO()
        with opened(self.origin, self.clone) as (before, after):
            write_difference(before, after, sink, **options)
        return sink.getvalue()

    def of_overlay(self):
        sink = io.BytesIO()
        same = self.upper.stat().st_mtime == OLD and self.upper.stat().st_mode == (
            self.reference.stat().st_mode
        )
        with opened(self.upper) as (fd,):
            diff(fd, sink, userxattr=False, implicit=frozenset({b"."} if same else ()))
        return sink.getvalue()


@pytest.fixture
def pair(disk, request):
    place = disk / request.node.name.replace("/", "-")[:80]
    place.mkdir()
    made = Pair(place)
    yield made
    for path in (made.clone, made.origin):
        subprocess.run(["btrfs", "-q", "subvolume", "delete", path], check=True)


def names(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [one.name + "/" * one.isdir() for one in archive.getmembers()]


def new_file_deep_down(root):
    (root / "d/sub/deep/new").write_text("new")


def edit_of_equal_size_and_old_time(root):
    (root / "f").write_text("F")
    os.utime(root / "f", (OLD, OLD))


def file_deleted(root):
    (root / "d/x").unlink()


def directory_deleted(root):
    shutil.rmtree(root / "gone")


def directory_made_again(root):
    shutil.rmtree(root / "gone")
    (root / "gone").mkdir()
    (root / "gone/other").write_text("other")


def file_becomes_directory(root):
    (root / "f").unlink()
    (root / "f").mkdir()
    (root / "f/in").write_text("in")


def directory_becomes_file(root):
    shutil.rmtree(root / "gone")
    (root / "gone").write_text("a file now")


def new_directories_in_each_other(root):
    (root / "new/in/it").mkdir(parents=True)
    (root / "new/in/it/f").write_text("f")
    (root / "e/new").mkdir()


def file_renamed(root):
    (root / "d/x").rename(root / "e/renamed")


def file_replaced_by_rename(root):
    (root / "fresh").write_text("fresh")
    (root / "fresh").rename(root / "g")


def mode_and_attributes(root):
    (root / "d/y").chmod(0o4711)
    os.setxattr(root / "e", "user.a", b"1")
    os.chown(root / "link", 3, 4, follow_symlinks=False)


def root_changed(root):
    root.chmod(0o711)


def links_among_new_files(root):
    (root / "one").write_text("one")
    (root / "d/two").hardlink_to(root / "one")
    (root / "e/three").symlink_to("../one")


def special_files(root):
    os.mknod(root / "null", 0o20600, os.makedev(1, 3))
    (root / "fifo").unlink()
    os.mkfifo(root / "d/fifo")


def made_and_taken_back(root):
    (root / "d/short").write_text("")
    (root / "d/short").unlink()


CHANGES = [
    new_file_deep_down, edit_of_equal_size_and_old_time, file_deleted, directory_deleted,
    directory_made_again, file_becomes_directory, directory_becomes_file,
    new_directories_in_each_other, file_renamed, file_replaced_by_rename, mode_and_attributes,
    root_changed, links_among_new_files, special_files, made_and_taken_back,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@isolated
def test_the_layer_is_that_of_an_upperdir_byte_for_byte(pair, change):
    of_clone, of_overlay = pair.both(change)
    assert names(of_clone) == names(of_overlay)
    assert of_clone == of_overlay
    assert names(of_clone), "something was changed"


def test_nothing_changed_is_an_empty_layer(pair):
    assert names(pair.of_clone()) == []


@isolated
def test_a_socket_is_no_part_of_a_layer(pair):
    def change(root):
        (root / "g").unlink()
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.path.relpath(root / "g"))

    of_clone, of_overlay = pair.both(change)
    assert names(of_clone) == ["./", ".wh.g"]
    assert names(of_overlay) == ["./"]  # overlayfs keeps the socket, which hides; a tar cannot


def test_times_are_limited_where_that_is_asked_for(pair):
    new_file_deep_down(pair.clone)
    with tarfile.open(fileobj=io.BytesIO(pair.of_clone(source_date_epoch=OLD + 1))) as archive:
        assert {one.mtime for one in archive.getmembers()} == {OLD, OLD + 1}


def test_names_that_are_whiteouts_are_refused(pair):
    (pair.clone / "d/.wh.x").write_text("")
    with pytest.raises(InvalidLayerPathError):
        pair.of_clone()


def test_what_can_be_read_is_whole(pair):
    new_file_deep_down(pair.clone)
    with opened(pair.origin, pair.clone) as (before, after):
        assert unreadable(before, after) == []
        assert unreadable(None, after) == []


def test_what_cannot_be_read_is_named(pair, monkeypatch):
    """Damaged blocks of btrfs and ZFS read as EIO; here one file refuses instead."""
    (pair.clone / "d/sub/bad").write_text("bad")
    read = os.read

    def refuses(fd, size):
        if Path(f"/proc/self/fd/{fd}").readlink().name in {"bad", "z"}:
            raise OSError(5, "Input/output error")
        return read(fd, size)

    monkeypatch.setattr(os, "read", refuses)
    with opened(pair.origin, pair.clone) as (before, after):
        assert unreadable(before, after) == [
            (b"d/sub/bad", "content: cannot be read: Input/output error")
        ]
        assert [path for path, _ in unreadable(None, after)] == [b"d/sub/bad", b"d/sub/z"]
