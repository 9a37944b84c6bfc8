import io
import json
import os
import socket
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from layerfs.diff import diff

from .changesets import Change, Inode, apply, lay_out, opened, parsed, shown

ROOT = Path(__file__).resolve().parents[2]


def changes(upper, sink=None, **options):
    """The tar of an upperdir."""
    sink = sink or io.BytesIO()
    with opened(upper) as (fd,):
        diff(fd, sink, userxattr=True, **options)
    return sink.getvalue()


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()


def names(data):
    return [one.name + "/" * one.isdir() for one in members(data)]


def content(data, name):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.extractfile(name).read()


# --- a real upperdir

SCENARIO = """
import ctypes, json, os, shutil, stat, sys
from layerfs.diff import diff

lower, upper, work, merged, out = sys.argv[1:]
in_init = open("/proc/self/uid_map").read().split() == ["0", "0", "4294967295"]
options = f"lowerdir={lower},upperdir={upper},workdir={work}"
# The kernel takes userxattr to mean redirect_dir=off and metacopy=off, and refuses to be told so.
options += ",redirect_dir=off,metacopy=off,index=off" if in_init else ",userxattr,index=off"
mount = ctypes.CDLL(None, use_errno=True).mount
assert mount(b"overlay", os.fsencode(merged), b"overlay", 0, options.encode()) == 0, os.strerror(
    ctypes.get_errno())

os.chdir(merged)
with open("dir/new", "w") as file:
    file.write("new")
os.chmod("dir/new", 0o4711)
os.remove("dir/gone")
with open("dir/kept", "a") as file:
    file.write("+more")
os.link("dir/new", "another")
shutil.rmtree("replaced")
os.mkdir("replaced", 0o700)
open("replaced/fresh", "w").close()
os.remove("file-to-dir")
os.mkdir("file-to-dir")
shutil.rmtree("dir-to-file")
os.symlink("dir/new", "dir-to-file")
os.chmod("only-mode", 0o600)
os.mkfifo("pipe")
for path in ("dir/new", "dir/kept", "replaced", "replaced/fresh", "file-to-dir", "only-mode", "dir",
             "dir-to-file", "pipe", "."):
    os.utime(path, (5, 5), follow_symlinks=False)

def tree():
    found, links = {}, {}
    for above, directories, files in os.walk("."):
        for name in [*directories, *files]:
            path = os.path.normpath(os.path.join(above, name))
            seen = os.lstat(path)
            kind = {0o040000: "dir", 0o100000: "file", 0o120000: "symlink", 0o010000: "fifo"}[
                stat.S_IFMT(seen.st_mode)]
            data = ""
            if kind == "file":
                data = open(path).read()
            elif kind == "symlink":
                data = os.readlink(path)
            if kind != "dir":
                links.setdefault(seen.st_ino, []).append(path)
            found[path] = [kind, seen.st_mode & 0o7777, int(seen.st_mtime), data, seen.st_ino]
    for one in found.values():
        one[-1] = sorted(links.get(one[-1], []))
    return found

fd = os.open(upper, os.O_RDONLY)
for name in ("first", "second"):
    with open(f"{out}/{name}", "wb") as sink:
        diff(fd, sink, userxattr=not in_init)
print(json.dumps(tree()))
"""


@pytest.fixture
def view(tmp_path):
    """The changes of a view over ``lower``, twice, and what the view itself showed."""
    lower = Change()
    for path, data in {
        "dir/gone": b"",
        "dir/kept": b"kept",
        "dir/untouched": b"",
        "replaced/old": b"",
        "file-to-dir": b"",
        "dir-to-file/x": b"",
        "only-mode": b"same",
    }.items():
        lower.hold(path, Inode("file", 0o644, 1, data))
    lay_out(lower, tmp_path / "lower")
    for name in ("upper", "work", "merged", "out"):
        (tmp_path / name).mkdir()
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    arguments = [tmp_path / name for name in ("lower", "upper", "work", "merged", "out")]
    run = subprocess.run(
        [*unshare, sys.executable, "-c", SCENARIO, *arguments],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert run.returncode == 0, run.stderr.decode()
    first, second = ((tmp_path / "out" / name).read_bytes() for name in ("first", "second"))
    return lower, first, second, json.loads(run.stdout)


def test_the_layer_does_what_was_done_to_the_view(view):
    lower, data, _again, seen = view
    tree = shown(apply(apply({}, lower), parsed(data)))
    del tree["."]
    assert {
        path: [kind, mode, mtime, data.decode(), links]
        for path, (kind, mode, mtime, data, links) in tree.items()
    } == seen


def test_the_same_upperdir_gives_the_same_bytes(view):
    _lower, first, again, _seen = view
    assert first == again


def test_overlayfs_own_attributes_are_never_exported(view):
    _lower, data, _again, _seen = view
    assert b"overlay." not in data


def test_what_was_not_touched_is_not_in_the_layer(view):
    _lower, data, _again, _seen = view
    found = names(data)
    assert "dir/untouched" not in found
    assert {"dir/.wh.gone", "replaced/.wh..wh..opq", "dir-to-file"} <= set(found)


# --- any upperdir


def test_an_empty_upperdir_is_its_root_alone(tmp_path):
    assert names(changes(tmp_path)) == ["./"]
    assert names(changes(tmp_path, implicit=frozenset({b"."}))) == []


def test_implicit_directories_get_no_entry(tmp_path):
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "f").touch()
    assert names(changes(tmp_path, implicit=frozenset({b".", b"d"}))) == ["d/e/", "d/e/f"]


def test_hardlinks_fifos_and_symlinks_are_kept_and_sockets_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("z").write_bytes(b"z")
    Path("a").hardlink_to("z")
    Path("l").symlink_to("nowhere")
    os.link("l", "l2", follow_symlinks=False)
    os.mkfifo("p", 0o620)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        data = changes(tmp_path)
    found = {one.name: one for one in members(data)}
    assert list(found) == [".", "a", "l", "l2", "p", "z"]
    assert (found["z"].islnk(), found["z"].linkname) == (True, "a")
    assert (found["l"].issym(), found["l"].linkname) == (True, "nowhere")
    assert (found["l2"].islnk(), found["l2"].linkname) == (True, "l")
    assert found["p"].isfifo()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
def test_devices_are_kept_and_only_0_0_is_a_whiteout(tmp_path):
    try:
        os.mknod(tmp_path / "null", 0o020666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only the root of the initial user namespace makes device nodes")
    os.mknod(tmp_path / "gone", 0o020000, os.makedev(0, 0))
    _root, whiteout, null = members(changes(tmp_path))
    assert whiteout.name == ".wh.gone"
    assert (null.ischr(), null.devmajor, null.devminor) == (True, 1, 3)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sets capabilities")
def test_capabilities_and_acls_are_exported(tmp_path):
    (tmp_path / "f").touch()
    capability = b"\1\0\0\2" + b"\0\4\0\0" + bytes(12)
    entries = [(1, 6, -1), (2, 4, 1), (4, 4, -1), (16, 4, -1), (32, 0, -1)]  # acl(5)
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *one) for one in entries)
    os.setxattr(tmp_path / "f", "security.capability", capability)
    os.setxattr(tmp_path / "f", "system.posix_acl_access", acl)
    file = members(changes(tmp_path))[1]
    kept = {key: os.fsencode(value) for key, value in file.pax_headers.items() if key != "mtime"}
    assert kept == {
        "SCHILY.xattr.security.capability": capability,
        "SCHILY.xattr.system.posix_acl_access": acl,
    }


def test_times_after_source_date_epoch_are_written_as_that(tmp_path):
    for name, mtime in (("old", 10), ("new", 2_000_000_000)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, ns=(0, mtime * 10**9 + 5))
    os.utime(tmp_path, (0, 2_000_000_000))
    data = changes(tmp_path, source_date_epoch=1_000_000_000)
    found = {one.name: one.pax_headers.get("mtime") or one.mtime for one in members(data)}
    assert found == {".": 1_000_000_000, "new": 1_000_000_000, "old": "10.000000005"}


# --- a view that is written to meanwhile


class Meddler(io.BytesIO):
    """A sink that does something to the tree when the first bytes come: after the listing."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def write(self, data):
        act, self.act = self.act, None
        if act:
            act()
        return super().write(data)


@pytest.fixture
def upper(tmp_path):
    """An upperdir whose first file is large enough that the rest is read after the first write."""
    (tmp_path / "a").write_bytes(bytes(2**20))
    (tmp_path / "b").write_bytes(b"before")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_bytes(b"x")
    (tmp_path / "z").write_bytes(b"last")
    return tmp_path


def meddled(upper, act):
    return changes(upper, Meddler(act))


def test_files_may_shrink_while_they_are_read(upper):
    data = meddled(upper, lambda: os.truncate(upper / "a", 5))
    assert len(content(data, "a")) == 2**20
    assert names(data) == ["./", "a", "b", "d/", "d/x", "z"]


def test_files_may_grow_while_they_are_read(upper):
    data = meddled(upper, lambda: os.truncate(upper / "a", 2**22))
    assert len(content(data, "a")) == 2**20
    assert content(data, "z") == b"last"


def test_what_vanishes_is_left_out(upper):
    data = meddled(upper, lambda: ((upper / "b").unlink(), (upper / "d/x").unlink()))
    assert names(data) == ["./", "a", "d/", "z"]


def test_a_directory_that_vanishes_is_left_out(upper):
    data = meddled(upper, lambda: ((upper / "d/x").unlink(), (upper / "d").rmdir()))
    assert names(data) == ["./", "a", "b", "z"]


def test_a_file_that_becomes_a_whiteout_is_one(upper):
    def act():
        (upper / "b").unlink()
        os.mknod(upper / "b", 0o020000, os.makedev(0, 0))

    assert names(meddled(upper, act)) == ["./", "a", ".wh.b", "d/", "d/x", "z"]


def test_a_file_that_becomes_a_symlink_is_not_followed(upper):
    def act():
        (upper / "b").unlink()
        (upper / "b").symlink_to("z")

    data = meddled(upper, act)
    assert [one.linkname for one in members(data) if one.name == "b"] == ["z"]


def test_a_file_that_becomes_a_fifo_is_not_waited_for(upper):
    def act():
        (upper / "b").unlink()
        os.mkfifo(upper / "b")

    assert [one.isfifo() for one in members(meddled(upper, act)) if one.name == "b"] == [True]


def test_a_file_that_becomes_a_directory_is_one_and_the_reverse(upper):
    def act():
        (upper / "b").unlink()
        (upper / "b").mkdir()
        (upper / "b" / "in").touch()
        (upper / "d" / "x").unlink()
        (upper / "d").rmdir()
        (upper / "d").write_bytes(b"file")

    data = meddled(upper, act)
    assert names(data) == ["./", "a", "b/", "b/in", "d", "z"]
    assert content(data, "d") == b"file"
