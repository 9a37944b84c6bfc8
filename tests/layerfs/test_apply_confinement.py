"""Nothing outside the root is ever touched, whatever the tar says and whoever meddles meanwhile."""

import contextlib
import os
import subprocess
import sys

import pytest

from layerfs.errors import HostileLayerError, InvalidLayerPathError

from .extraction import (
    HOST_ROOT,
    ROOT,
    S,
    assert_passes_in_user_namespace,
    directory,
    extract,
    extract_from,
    fifo,
    file,
    hardlink,
    names,
    reader,
    snapshot,
    symlink,
)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


@pytest.fixture
def outside(tmp_path):
    """A directory that must be the same afterwards, also in times and attributes."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "file").write_text("mine")
    os.setxattr(place / "file", "user.mine", b"1")
    (place / "dir").mkdir(mode=0o711)
    (place / "dir/inner").write_text("mine too")
    (place / "link").symlink_to("file")
    (tmp_path / "root-evil").mkdir()
    before = snapshot(place)
    yield place
    assert snapshot(place) == before
    assert names(tmp_path / "root-evil") == []


LOUD = {"mode": 0o4777, "mtime_ns": 5 * S, "xattrs": {"user.mine": b"evil"}}


def attacks(outside):
    """Name to entries that would reach ``outside`` if anything in them were followed."""
    path = str(outside)
    up = "../" * 30 + path.lstrip("/")
    return {
        "through an absolute parent": [symlink("s", path), file("s/file", **LOUD)],
        "through a relative parent": [symlink("s", up), file("s/new")],
        "through two parents": [symlink("s", "t"), symlink("t", path), file("s/dir/inner")],
        "through a link in a directory": [directory("d"), symlink("d/s", up), file("d/s/file")],
        "a directory through a link": [symlink("s", path), directory("s/dir", **LOUD)],
        "a directory that exists outside": [symlink("s", f"{path}/dir"), directory("s/made")],
        "a fifo through a link": [symlink("s", path), fifo("s/file")],
        "a link through a link": [symlink("s", path), symlink("s/link", "/")],
        "a hardlink to outside": [hardlink("h", f"{path}/file"), file("h", b"evil")],
        "a hardlink through a link": [symlink("s", path), hardlink("h", "s/file"), file("h")],
        "a hardlink into outside": [file("f"), symlink("s", path), hardlink("s/file", "f")],
        "a hardlink up": [hardlink("h", f"{up}/file")],
        "a name up": [file(f"{up}/file")],
        "a name beside": [file("../root-evil/f")],
        "a link beside": [symlink("s", "../root-evil"), file("s/f")],
        "a directory swapped for a link": [directory("d"), symlink("d", path), file("d/file")],
        "and back": [symlink("d", path), directory("d"), symlink("d", path), file("d/file")],
    }


@pytest.mark.parametrize("attack", attacks("/"))
def test_a_layer_that_would_leave_its_root_is_refused(root, outside, attack):
    with pytest.raises(InvalidLayerPathError):
        extract(root, *attacks(outside)[attack])


def harmless(outside):
    """Entries that look outside but, with nothing followed, stay in."""
    path = str(outside)
    return {
        "metadata over a link": [symlink("s", f"{path}/file"), file("s", b"x", **LOUD)],
        "a directory over a link": [symlink("s", f"{path}/dir"), directory("s", **LOUD)],
        "a link with metadata": [symlink("s", f"{path}/file", mode=0o4777, mtime_ns=5 * S)],
        "a linked link": [symlink("s", f"{path}/file"), hardlink("h", "s", **LOUD)],
        "a replaced linked link": [symlink("s", f"{path}/file"), hardlink("h", "s"),
                                   file("h", b"x", **LOUD)],
        "a whiteout through a link": [symlink("s", path), file("s/.wh.file", b"")],
        "an opaque marker through a link": [symlink("s", path), file("s/.wh..wh..opq", b"")],
        "a whiteout of a link": [symlink("s", path), file(".wh.s", b"")],
        "an absolute name": [file(f"{path}/file", b"x", **LOUD)],
        "a file for a directory with links": [symlink("d/s", path), symlink("d/t", "s"), file("d")],
    }  # fmt: skip


@pytest.mark.parametrize("attack", harmless("/"))
def test_links_are_never_followed_for_metadata_or_removal(root, outside, attack):
    extract(root, *harmless(outside)[attack])
    assert names(root)


class Meddling:
    """A reader during whose iteration something else happens, just before the member ``at``."""

    def __init__(self, at, act, *entries):
        self._source = reader(*entries)
        self._at = at
        self._act = act
        self.chunks, self.read = self._source.chunks, self._source.read
        self.read_into = self._source.read_into
        self.limits, self.is_large = self._source.limits, False

    def __iter__(self):
        for member in self._source:
            if member.name == self._at:
                self._act()
            yield member
        if self._at is None:
            self._act()


def swapped(root, outside, name="d"):
    def act():
        os.rename(root / name, root.parent / "away")
        (root / name).symlink_to(outside)

    return act


@pytest.mark.parametrize("crowd", [0, 60])
def test_a_parent_that_a_neighbour_swaps_for_a_link_is_not_followed(root, outside, crowd):
    """Seen when the directory is opened again: after a crowd of others, or at the end at last."""
    many = [file(f"crowd/{number}/f") for number in range(crowd)]
    entries = [directory("d"), file("d/first"), *many, file("d/file"), file("d/.wh.file", b"")]
    root.mkdir()
    with pytest.raises(InvalidLayerPathError):
        extract_from(Meddling(b"d/file", swapped(root, outside), *entries), root)
    assert names(root.parent / "away") == (["first"] if crowd else ["file", "first"])


def test_a_directory_swapped_before_its_metadata_is_written_is_not_followed(root, outside):
    entries = [directory("d", **LOUD), file("d/f"), directory("e")]
    root.mkdir()
    with pytest.raises(InvalidLayerPathError):
        extract_from(Meddling(None, swapped(root, outside), *entries), root)


def test_a_directory_swapped_before_it_is_removed_is_not_emptied_elsewhere(root, outside):
    entries = [directory("d"), file("d/file"), directory("d/dir"), file("d/dir/inner"), file("d")]
    many = [file(f"crowd/{number}/f") for number in range(60)]
    root.mkdir()
    with pytest.raises(InvalidLayerPathError):
        extract_from(
            Meddling(b"crowd/59/f", swapped(root, outside), *entries[:-1], *many, entries[-1]), root
        )


def test_a_hardlinks_target_swapped_for_a_link_is_linked_as_the_link(root, outside):
    def act():
        (root / "f").unlink()
        (root / "f").symlink_to(outside / "file")

    root.mkdir()
    extract_from(
        Meddling(b"h", act, file("f"), hardlink("h", "f"), file("h", b"evil", **LOUD)), root
    )
    assert (root / "h").read_bytes() == b"evil"


SWAPPER = """
import sys
from layerfs.syscalls import AT_FDCWD, RENAME_EXCHANGE, renameat2
inside, evil = sys.argv[1:]
print("ready", flush=True)
while True:
    try:
        renameat2(AT_FDCWD, inside, AT_FDCWD, evil, RENAME_EXCHANGE)
    except FileNotFoundError:
        pass
"""


@pytest.mark.parametrize("depth", ["d", "d/e"])
def test_a_process_that_keeps_swapping_a_directory_for_a_link_gains_nothing(
    tmp_path, outside, depth
):
    """Every round either is refused, or succeeds inside: the canary is compared in the end."""
    evil = tmp_path / "evil"
    root = tmp_path / "swapped"
    evil.symlink_to(outside)
    entries = [directory("d", **LOUD), directory("d/e", **LOUD)]
    for number in range(40):  # with a crowd between, so that directories are opened again
        entries += [file(f"{depth}/{name}", **LOUD) for name in ("file", f"new{number}")]
        entries += [file(f"{depth}/dir/inner", **LOUD), file(f"crowd/{number}/f")]
        entries += [file(f"{depth}/.wh.gone{number}", b""), symlink(f"{depth}/link", "/")]
    swapper = subprocess.Popen(
        [sys.executable, "-c", SWAPPER, root / depth, evil], stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        assert swapper.stdout.readline() == b"ready\n"
        for number in range(25):
            with contextlib.suppress(InvalidLayerPathError):
                extract(root, *entries)
            if root.exists():
                root.rename(tmp_path / f"done{number}")
    finally:
        swapper.kill()
        swapper.wait()
        swapper.stdout.close()


def test_a_mount_that_appears_inside_is_not_entered(tmp_path, outside):
    """RESOLVE_NO_XDEV: a file system mounted into the tree meanwhile is none of the layer's."""
    script = """
import sys
from pathlib import Path
from layerfs import syscalls
from layerfs.errors import InvalidLayerPathError
from tests.layerfs.extraction import *
from tests.layerfs.test_apply_confinement import Meddling
root, outside = map(Path, sys.argv[1:])
bind = lambda: syscalls.mount(outside, root / "d", None, syscalls.MS_BIND)
crowd = [file(f"crowd/{number}/f") for number in range(60)]
root.mkdir()
try:
    extract_from(Meddling(b"d/file", bind, directory("d"), *crowd, file("d/file")), root)
except InvalidLayerPathError as error:
    print(error.errno)
"""
    inside = ["unshare", "-m"] if HOST_ROOT else ["unshare", "-Urm"]
    done = subprocess.run(
        [*inside, sys.executable, "-c", script, tmp_path / "root", outside],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("18\n", "")  # EXDEV


def test_the_hostile_are_told_from_the_mistaken(root):
    with pytest.raises(HostileLayerError) as caught:
        extract(root, symlink("s", "/nowhere"), file("s/f"))
    assert caught.value.facts()["code"] == "hostile-layer"
    assert caught.value.path == "s"


def test_all_of_this_holds_in_a_user_namespace():
    assert_passes_in_user_namespace(__file__)
