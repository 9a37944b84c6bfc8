from __future__ import annotations

import base64
import hashlib
import os
import socket
import stat

import pytest

from harness import treewalk

NOT_UTF8 = os.fsdecode(b"caf\xe9\n:,\\")


def rows(root, **options):
    return {row["path"]: row for row in treewalk.tree(str(root), **options)}


@pytest.fixture
def garden(tmp_path):
    """A directory with one of each kind."""
    root = tmp_path / "garden"
    root.mkdir(mode=0o750)
    (root / "file").write_bytes(b"content")
    (root / "file").chmod(0o4640)
    os.utime(root / "file", ns=(1, 1_234_567_890_123_456_789))
    (root / "dir").mkdir()
    (root / "dir" / NOT_UTF8).write_bytes(b"")
    (root / "dangling").symlink_to("no/where")
    os.mkfifo(root / "fifo", 0o600)
    os.link(root / "file", root / "dir" / "other name")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(root / "socket"))
    return root


def test_every_kind_is_told_with_its_metadata(garden):
    found = rows(garden)
    assert {path: row["kind"] for path, row in found.items()} == {
        ".": "dir", "dangling": "symlink", "dir": "dir", f"dir/{NOT_UTF8}": "file",
        "dir/other name": "file", "fifo": "fifo", "file": "file", "socket": "socket",
    }  # fmt: skip
    assert found["."]["mode"] == 0o750
    assert found["file"]["mode"] == 0o4640
    assert found["file"]["mtime_ns"] == 1_234_567_890_123_456_789
    assert found["file"]["sha256"] == hashlib.sha256(b"content").hexdigest()
    assert found["dangling"]["target"] == "no/where"
    assert (found["file"]["uid"], found["file"]["gid"]) == (os.geteuid(), os.stat(garden).st_gid)


def test_names_of_one_inode_share_it_and_nothing_else_has_one(garden):
    found = rows(garden)
    assert found["file"]["inode"] == found["dir/other name"]["inode"]
    assert {path for path, row in found.items() if "inode" in row} == {"file", "dir/other name"}
    assert found["file"]["sha256"] == found["dir/other name"]["sha256"]


def test_xattrs_are_told_sorted_with_their_bytes(garden):
    try:
        os.setxattr(garden / "file", "user.z", b"\0\xff")
        os.setxattr(garden / "file", "user.a", b"")
    except OSError as error:
        pytest.skip(f"no user xattrs in the temporary directory: {error}")
    told = rows(garden)["file"]["xattrs"]
    assert [(name, base64.b64decode(value)) for name, value in told] == [
        ("user.a", b""),
        ("user.z", b"\0\xff"),
    ]
    assert "xattrs" not in rows(garden)["dir"]


def test_looking_changes_no_access_time(garden):
    old = 1_000_000_000 * 10**9
    for path in (garden / "dir", garden / "file", garden):
        os.utime(path, ns=(old, old))
    found = rows(garden, times=True)
    rows(garden)
    assert found["file"]["atime_ns"] == os.stat(garden / "file").st_atime_ns == old
    assert os.stat(garden).st_atime_ns == os.stat(garden / "dir").st_atime_ns == old
    assert "atime_ns" not in found["dangling"]


def test_a_root_that_is_no_directory_is_one_path(garden):
    assert rows(garden / "file")["."]["size"] == 7
    assert rows(garden / "dangling")["."]["target"] == "no/where"
    assert list(rows(garden, below=False)) == ["."]
    with pytest.raises(FileNotFoundError):
        rows(garden / "no such file")


def test_trees_deeper_than_path_max_are_walked_and_removed(tmp_path):
    name, depth = "d" * 200, 40
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    found = rows(tmp_path)
    assert len(found) == depth + 2
    assert max(map(len, found)) > 4096
    treewalk.remove(str(tmp_path / name))
    assert os.listdir(tmp_path) == []


def test_walking_enters_only_where_it_is_told_to(garden):
    walked = [path for path, _, _ in treewalk.walk(str(garden), lambda *_: False)]
    assert walked == ["dangling", "dir", "fifo", "file", "socket"]


def test_a_walk_that_is_given_up_closes_what_it_opened(garden):
    before = os.listdir("/proc/self/fd")
    walk = treewalk.walk(str(garden), lambda *_: True)
    assert [path for path, _, _ in (next(walk), next(walk), next(walk))][-1].startswith("dir/")
    walk.close()
    assert os.listdir("/proc/self/fd") == before


def test_removing_follows_nothing(garden, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (garden / "dir" / "to outside").symlink_to(outside)
    treewalk.remove(str(garden / "dangling"))
    treewalk.remove(str(garden))
    treewalk.remove(str(garden))  # what is gone is removed
    assert os.listdir(tmp_path) == ["outside"]
    assert os.listdir(outside) == ["kept"]


def test_removing_many_full_directories_takes_one_pass_over_each(tmp_path):
    for number in range(300):
        (tmp_path / "root" / str(number)).mkdir(parents=True)
        (tmp_path / "root" / str(number) / "file").write_text("")
    treewalk.remove(str(tmp_path / "root"))
    assert os.listdir(tmp_path) == []


def test_removing_never_enters_a_mount(local_host):
    root = local_host.tmp("root")
    local_host.mkdir(f"{root}/source")
    local_host.write(f"{root}/source/precious", b"kept")
    for place in ("tmpfs", "bound"):
        local_host.mkdir(f"{root}/tree/{place}")
    with local_host.mount_tmpfs(f"{root}/tree/tmpfs"):
        local_host.write(f"{root}/tree/tmpfs/precious", b"kept")
        # The same file system, and still another mount.
        local_host.run(["mount", "--bind", f"{root}/source", f"{root}/tree/bound"])
        for path in (f"{root}/tree", f"{root}/tree/tmpfs", f"{root}/tree/bound"):
            with pytest.raises(OSError, match=r"busy|mounted there"):
                local_host.remove(path)
        assert local_host.read(f"{root}/source/precious") == b"kept"
        assert local_host.read(f"{root}/tree/tmpfs/precious") == b"kept"
        local_host.run(["umount", f"{root}/tree/bound"])
    local_host.remove(root)


def test_kinds_cover_every_type_of_file():
    assert treewalk.kind(stat.S_IFCHR | 0o600) == "char"
    assert treewalk.kind(stat.S_IFBLK) == "block"
