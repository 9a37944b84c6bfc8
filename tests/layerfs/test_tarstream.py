"""What the reader makes of whole archives: those of GNU tar and of tarfile, and handmade ones."""

from __future__ import annotations

import errno
import io
import math
import os
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest

from layerfs.tarstream import CHUNK, Member, TarReader

from .handmade import END, GNU, V7, base256, header, member, only, pax, read

FORMATS = ["v7", "ustar", "oldgnu", "gnu", "pax"]


def gnu_tar(tree: Path, *options: str) -> bytes:
    return subprocess.run(
        ["tar", "-C", str(tree), "--sort=name", *options, "-cf", "-", "."],
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    ).stdout


def facts(archive: bytes) -> dict[bytes, tuple]:
    return {
        one.name: (one.kind, one.mode, one.uid, one.gid, one.mtime_ns, one.size, one.linkname, data)
        for one, data in read(archive)
    }


def tarfile_facts(archive: bytes) -> dict[bytes, tuple]:
    kinds = {
        tarfile.REGTYPE: "file",
        tarfile.AREGTYPE: "file",
        tarfile.DIRTYPE: "dir",
        tarfile.SYMTYPE: "symlink",
        tarfile.LNKTYPE: "hardlink",
        tarfile.FIFOTYPE: "fifo",
        tarfile.CHRTYPE: "char",
        tarfile.BLKTYPE: "block",
    }
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive), errors="surrogateescape") as opened:
        for one in opened:
            name = os.fsencode(one.name).removeprefix(b"./")
            link = os.fsencode(one.linkname)
            # tarfile's times are floats: seconds are all that they surely hold.
            found[name] = (
                kinds[one.type],
                one.mode,
                one.uid,
                one.gid,
                math.floor(one.mtime),
                one.size if one.isreg() else 0,
                link.removeprefix(b"./") if one.islnk() else link,
                opened.extractfile(one).read() if one.isreg() else b"",
            )
    return found


@pytest.fixture
def tree(tmp_path):
    """One of everything that an ordinary user can make."""
    root = tmp_path / "tree"
    root.mkdir()
    os.mkdir(root / "d", 0o755)
    (root / "d" / "file").write_bytes(b"content" * 1000)
    (root / "d" / "empty").write_bytes(b"")
    (root / "d" / "block").write_bytes(bytes(512))
    (root / "big").write_bytes(os.urandom(3 * CHUNK + 17))
    os.link(root / "d" / "file", root / "hard")
    os.symlink("d/file", root / "soft")
    os.symlink("/nowhere/../at//all/", root / "dangling")
    os.mkfifo(root / "fifo")
    os.chmod(root / "d" / "empty", 0o4711)
    os.chmod(root / "d", 0o2750)
    with open(os.fsencode(root) + b"/caf\xe9\n:,\\ ", "wb") as file:
        file.write(b"odd name")
    for at, name in enumerate(["d/file", "soft", "fifo", "d"]):
        when = 1_700_000_000_123_456_789 + at * 10**9
        os.utime(root / name, ns=(when, when), follow_symlinks=False)
    return root


@pytest.mark.parametrize("form", FORMATS)
def test_archives_of_gnu_tar_read_as_tarfile_reads_them(tree, form):
    if form == "v7":
        os.unlink(tree / "fifo")
    archive = gnu_tar(tree, f"--format={form}")
    ours = {name: (*fact[:4], fact[4] // 10**9, *fact[5:]) for name, fact in facts(archive).items()}
    theirs = tarfile_facts(archive)
    if form == "v7":
        # Its directories have only a slash: for tarfile that is enough, for us too.
        assert {name for name, fact in ours.items() if fact[0] == "dir"} == {b".", b"d"}
    assert ours == theirs
    assert len(ours) >= 10


@pytest.mark.parametrize("form", FORMATS)
def test_times_of_files_are_those_on_disk(tree, form):
    archive = gnu_tar(tree, f"--format={form}", "--exclude=./fifo")
    found = facts(archive)[b"d/file"][4]
    on_disk = os.stat(tree / "d" / "file").st_mtime_ns
    assert found == (on_disk if form == "pax" else on_disk // 10**9 * 10**9)


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_long_names_and_link_targets_come_whole(tmp_path, form):
    deep = b"/".join([b"n" * 90] * 6)
    os.makedirs(os.fsencode(tmp_path) + b"/" + deep)
    os.symlink(b"t/" * 300, os.fsencode(tmp_path) + b"/" + deep + b"/" + b"s" * 200)
    found = facts(gnu_tar(tmp_path, f"--format={form}"))
    assert found[deep + b"/" + b"s" * 200][:1] == ("symlink",)
    assert found[deep + b"/" + b"s" * 200][6] == b"t/" * 300
    assert found[deep][0] == "dir"


def test_ustars_prefix_is_the_front_of_the_name(tmp_path):
    deep = "/".join(["p" * 40] * 3) + "/" + "x" * 90
    (tmp_path / deep).parent.mkdir(parents=True)
    (tmp_path / deep).write_bytes(b"1")
    assert os.fsencode(deep) in facts(gnu_tar(tmp_path, "--format=ustar"))


@pytest.mark.parametrize("form", ["ustar", "gnu", "pax"])
def test_archives_of_tarfile_keep_large_numbers(form):
    formats = {
        "ustar": tarfile.USTAR_FORMAT,
        "gnu": tarfile.GNU_FORMAT,
        "pax": tarfile.PAX_FORMAT,
    }
    info = tarfile.TarInfo("name")
    info.uid, info.gid, info.mode = (4, 5, 0o7777) if form == "ustar" else (2**31, 2**32 - 2, 0o1)
    if form == "pax":
        info.mtime = -1.5
    elif form == "gnu":
        info.mtime = -3
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=formats[form]) as archive:
        archive.addfile(info)
    found = only(sink.getvalue())
    assert (found.uid, found.gid, found.mode) == (info.uid, info.gid, info.mode)
    assert found.mtime_ns == round(info.mtime * 10**9)


def test_extended_attributes_of_gnu_tar_come_as_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"")
    value = b"\0\xff=\n value"
    try:
        os.setxattr(path, "user.a=b%c", value)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("this file system has no user xattrs")
    archive = gnu_tar(tmp_path, "--format=pax", "--xattrs")
    (found,) = [one for one, _ in read(archive) if one.name == b"file"]
    assert found.xattrs[b"user.a=b%c"] == value


def test_sockets_cannot_be_stored_so_none_is_read(tmp_path):
    with socket.socket(socket.AF_UNIX) as opened:
        cwd = os.open(".", os.O_RDONLY)
        try:
            os.chdir(tmp_path)
            opened.bind("s")
        finally:
            os.fchdir(cwd)
            os.close(cwd)
        assert list(facts(gnu_tar(tmp_path))) == [b"."]


# --- sparse files ---------------------------------------------------------------------------------


def expanded(found: Member, data: bytes) -> bytes:
    whole = bytearray(found.size)
    at = 0
    for offset, length in [(0, found.size)] if found.sparse is None else found.sparse:
        whole[offset : offset + length] = data[at : at + length]
        at += length
    assert at == len(data) == found.stored_size
    return bytes(whole)


@pytest.mark.parametrize(
    "options",
    [
        ["--format=gnu"],
        ["--format=oldgnu"],
        ["--format=pax", "--sparse-version=0.0"],
        ["--format=pax", "--sparse-version=0.1"],
        ["--format=pax", "--sparse-version=1.0"],
    ],
    ids=lambda options: options[-1].partition("=")[2],
)
@pytest.mark.parametrize("runs", [0, 1, 3, 40, 200])
@pytest.mark.parametrize("tail", [0, 1, 5000])
def test_sparse_files_of_gnu_tar_expand_to_the_file(tmp_path, options, runs, tail):
    path = tmp_path / "holes"
    with path.open("wb") as file:
        for run in range(runs):
            file.seek(run * 40_960)
            file.write(b"%06d" % run * 700)
        file.truncate(runs * 40_960 + 100_000)
        file.seek(0, os.SEEK_END)
        file.write(b"t" * tail)
    archive = gnu_tar(tmp_path, "--sparse", *options)
    ((found, data),) = [pair for pair in read(archive) if pair[0].name == b"holes"]
    assert expanded(found, data) == path.read_bytes()
    assert found.sparse is not None
    assert found.stored_size < found.size


def test_what_follows_a_sparse_file_is_found(tmp_path):
    for name in ("a", "b", "c"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(10**6)
            file.seek(500_000)
            file.write(name.encode() * 700)
    for options in (["--format=gnu"], ["--format=pax"]):
        archive = gnu_tar(tmp_path, "--sparse", *options)
        names = [one.name for one in TarReader(io.BytesIO(archive))]
        assert names == [b".", b"a", b"b", b"c"]


def test_a_sparse_file_beyond_8_gib_has_its_size(tmp_path):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(9 * 2**30)
    for options in (["--format=gnu"], ["--format=pax"]):
        archive = gnu_tar(tmp_path, "--sparse", *options)
        ((found, data),) = [pair for pair in read(archive) if pair[0].name == b"huge"]
        assert (found.size, found.stored_size, data) == (9 * 2**30, 0, b"")


# --- handmade -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "kind"),
    [(b"0", "file"), (b"\0", "file"), (b"7", "file"), (b"1", "hardlink"), (b"2", "symlink"),
     (b"3", "char"), (b"4", "block"), (b"5", "dir"), (b"6", "fifo")],
)  # fmt: skip
@pytest.mark.parametrize("magic", [b"ustar\x0000", GNU])
def test_every_type_flag_has_its_kind(flag, kind, magic):
    found = only(header(b"./n", flag, linkname=b"./t", major=5, minor=9, magic=magic) + END)
    device = kind in {"char", "block"}
    assert found == Member(
        b"n",
        kind,
        linkname={"symlink": b"./t", "hardlink": b"t"}.get(kind, b""),
        rdev=(5, 9) if device else (0, 0),
    )


@pytest.mark.parametrize("flag", [b"0", b"\0", b"7"])
@pytest.mark.parametrize("magic", [V7, GNU, b"ustar\x0000"])
def test_a_trailing_slash_makes_a_file_a_directory(flag, magic):
    assert only(header(b"d/", flag, magic=magic) + END).kind == "dir"


def test_the_size_of_what_has_no_content_is_ignored():
    for flag in (b"2", b"3", b"4", b"5", b"6"):
        archive = header(b"n", flag, size=4096, linkname=b"t") + member(b"next", b"data") + END
        assert [(one.name, one.size, data) for one, data in read(archive)] == [
            (b"n", 0, b""),
            (b"next", 4, b"data"),
        ]


def test_a_hardlinks_data_are_skipped_where_they_follow():
    data = b"the target's data again" * 100
    first = member(b"target", data)
    for link in (
        member(b"link", data, b"1", linkname=b"target"),
        pax((b"mtime", b"1.5")) + member(b"link", data, b"1", linkname=b"target"),
        pax((b"size", b"%d" % len(data))) + member(b"link", data, b"1", linkname=b"target", size=0),
        header(b"link", b"1", linkname=b"target", size=len(data)),
    ):
        found = read(first + link + member(b"next") + END)
        assert [one.name for one, _ in found] == [b"target", b"link", b"next"]
        assert (found[1][0].kind, found[1][0].size, found[1][1]) == ("hardlink", 0, b"")


def test_a_hardlink_with_a_size_may_be_the_last():
    for end in (END, b""):
        assert only(header(b"l", b"1", linkname=b"t", size=100) + end).kind == "hardlink"


def test_stars_prefix_is_shorter_and_followed_by_times():
    times = b"00000000001\0" + b"00000000002\0"
    prefix = (b"p" * 131) + times
    found = only(header(b"name", prefix=prefix, tail=b"tar\0") + END)
    assert found.name == b"p" * 131 + b"/name"


def test_gnu_headers_have_no_prefix():
    found = only(header(b"name", magic=GNU, prefix=b"00000000001\0") + END)
    assert found.name == b"name"


def test_base_256_serves_sizes_ids_and_times():
    block = header(
        b"n",
        magic=GNU,
        uid=base256(2**32 - 2, 8),
        gid=base256(2**21, 8),
        mtime=base256(-(2**40), 12),
        size=base256(3, 12),
    )
    ((found, data),) = read(block + b"abc".ljust(512, b"\0") + END)
    assert (found.uid, found.gid, found.mtime_ns) == (2**32 - 2, 2**21, -(2**40) * 10**9)
    assert data == b"abc"


def test_pax_overrides_the_header_in_everything_that_it_names():
    archive = pax(
        (b"path", b"./real/name"),
        (b"size", b"5"),
        (b"uid", b"7"),
        (b"gid", b"8"),
        (b"mtime", b"1700000000.000000001"),
        (b"SCHILY.xattr.user.k", b"v"),
    ) + member(b"fake", b"12345", size=0, uid=1, gid=1, mtime=1)
    ((found, data),) = read(archive + END)
    assert found == Member(
        b"real/name",
        "file",
        uid=7,
        gid=8,
        mtime_ns=1_700_000_000_000_000_001,
        size=5,
        stored_size=5,
        xattrs={b"user.k": b"v"},
    )
    assert data == b"12345"


def test_pax_headers_serve_one_member_only():
    archive = pax((b"path", b"a"), (b"SCHILY.xattr.user.k", b"v")) + member(b"x") + member(b"y")
    assert [(one.name, one.xattrs) for one, _ in read(archive + END)] == [
        (b"a", {b"user.k": b"v"}),
        (b"y", {}),
    ]


def test_global_headers_serve_all_until_changed_and_local_ones_win():
    archive = (
        member(b"before")
        + pax((b"uid", b"5"), (b"mtime", b"9"), (b"comment", b"git"), flag=b"g")
        + member(b"a")
        + pax((b"uid", b"6"))
        + member(b"b")
        + pax((b"uid", b""))
        + member(b"c", uid=1)
        + pax((b"uid", b""), flag=b"g")
        + member(b"d", uid=2)
    )
    found = [(one.name, one.uid, one.mtime_ns // 10**9) for one, _ in read(archive + END)]
    assert found == [(b"before", 0, 0), (b"a", 5, 9), (b"b", 6, 9), (b"c", 1, 9), (b"d", 2, 9)]


def test_a_members_attributes_are_its_own():
    archive = pax((b"SCHILY.xattr.user.g", b"1"), flag=b"g") + member(b"a") + member(b"b") + END
    first, second = (one for one, _ in read(archive))
    first.xattrs.clear()
    assert second.xattrs == {b"user.g": b"1"}


def test_git_archives_read_as_tarfile_reads_them(tmp_path):
    run = ["git", "-c", "user.name=n", "-c", "user.email=e@x", "-C", str(tmp_path)]
    (tmp_path / ("long" * 40)).write_bytes(b"x")
    for step in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "m"]):
        subprocess.run([*run, *step], check=True, timeout=60)
    archive = subprocess.run(
        [*run, "archive", "HEAD"], stdout=subprocess.PIPE, check=True, timeout=60
    ).stdout
    ((found, data),) = read(archive)
    assert (found.name, data) == (b"long" * 40, b"x")
