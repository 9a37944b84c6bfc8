import io
import os
import subprocess
import tarfile

import pytest

from layerfs.errors import StorageError
from layerfs.tarstream import Member
from layerfs.tarwrite import TarWriter


class Sink:
    def __init__(self):
        self.pieces = []

    def write(self, data):
        self.pieces.append(data)

    @property
    def data(self):
        return b"".join(self.pieces)


def written(*members):
    """The archive of members, or of pairs of a member and its content."""
    sink = Sink()
    writer = TarWriter(sink)
    for one in members:
        writer.add(*(one if isinstance(one, tuple) else (one,)))
    writer.close()
    return sink.data


def read(data):
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        return archive.getmembers()


def only(data):
    (member,) = read(data)
    return member


def gnu_names(data, *options):
    listed = subprocess.run(
        ["tar", *options, "--quoting-style=escape", "-tf", "-"],
        input=data,
        capture_output=True,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    return listed.stdout.decode().splitlines()


def test_the_archive_ends_with_two_blocks_of_zeros_and_nothing_more():
    assert written() == bytes(1024)


def test_members_within_ustar_have_no_extended_header():
    data = written(
        Member(b".", "dir", mode=0o755),
        Member(b"d", "dir", mode=0o1777, uid=2097151, gid=2097151, mtime_ns=0o77777777777 * 10**9),
        (Member(b"d/f", "file", mode=0o4755, size=3), b"abc"),
        Member(b"h", "hardlink", linkname=b"d/f"),
        Member(b"l", "symlink", mode=0o777, linkname=b"../x"),
        Member(b"p", "fifo"),
        Member(b"c", "char", rdev=(1, 3)),
        Member(b"b", "block", rdev=(259, 1048575)),
    )
    assert len(data) == (8 + 1 + 2) * 512
    root, directory, file, hardlink, symlink, fifo, char, block = read(data)
    assert (root.name, root.isdir(), root.mode) == (".", True, 0o755)
    assert (directory.mode, directory.uid, directory.gid) == (0o1777, 2097151, 2097151)
    assert directory.mtime == 0o77777777777
    assert (file.mode, file.size, file.uname, file.gname) == (0o4755, 3, "", "")
    assert (hardlink.islnk(), hardlink.linkname, hardlink.size) == (True, "d/f", 0)
    assert (symlink.issym(), symlink.linkname) == (True, "../x")
    assert (fifo.isfifo(), char.ischr(), block.isblk()) == (True, True, True)
    assert (char.devmajor, char.devminor) == (1, 3)
    assert (block.devmajor, block.devminor) == (259, 1048575)
    assert gnu_names(data) == ["./", "d/", "d/f", "h", "l", "p", "c", "b"]


@pytest.mark.parametrize("length", [*range(97, 104), *range(253, 260), 1000, 4095])
@pytest.mark.parametrize("kind", ["file", "dir"])
def test_names_of_any_length_come_back(length, kind):
    component = b"x" * 60
    name = ((component + b"/") * (length // 61 + 1))[: length - 1].rstrip(b"/")
    name += b"y" * (length - len(name))
    data = written(Member(name, kind))
    assert only(data).name == name.decode()
    assert [one.rstrip("/") for one in gnu_names(data)] == [name.decode()]


@pytest.mark.parametrize("length", [99, 100, 101, 102, 255])
def test_a_name_of_one_component_is_never_split(length):
    data = written(Member(b"n" * length, "file"))
    assert only(data).name == "n" * length
    assert len(data) == 512 * (3 if length <= 100 else 5)


@pytest.mark.parametrize("length", range(1, 1200, 13))
def test_lengths_of_extended_records_count_their_own_digits(length):
    data = written(Member(b"f", "file", xattrs={b"user.v": b"v" * length}))
    assert only(data).pax_headers["SCHILY.xattr.user.v"] == "v" * length


def test_names_in_utf8_need_no_character_set():
    data = written(Member("grün".encode(), "symlink", linkname="wäre".encode()))
    member = only(data)
    assert (member.name, member.linkname) == ("grün", "wäre")
    assert "hdrcharset" not in member.pax_headers
    assert gnu_names(data) == ["gr\\303\\274n"]


def test_names_that_are_not_utf8_are_kept_as_bytes():
    data = written(Member(b"caf\xe9\n:,\\", "symlink", linkname=b"\xff"))
    member = only(data)
    assert os.fsencode(member.name) == b"caf\xe9\n:,\\"
    assert os.fsencode(member.linkname) == b"\xff"
    assert member.pax_headers["hdrcharset"] == "BINARY"
    assert gnu_names(data, "--warning=no-unknown-keyword") == ["caf\\351\\n:,\\\\"]


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (1_500_000_000, "1.5"),
        (1, "0.000000001"),
        (1_700_000_000_123_456_789, "1700000000.123456789"),
        (-1, "-0.000000001"),
        (-1_500_000_000, "-1.5"),
        (-2_000_000_000, "-2"),
        (0o100000000000 * 10**9, "8589934592"),
    ],
)
def test_times_beyond_ustar_are_exact_decimals(nanoseconds, text):
    assert only(written(Member(b"f", "file", mtime_ns=nanoseconds))).pax_headers["mtime"] == text


def test_large_ids_are_extended():
    member = only(written(Member(b"f", "file", uid=2097152, gid=2**32 - 2)))
    assert (member.uid, member.gid) == (2097152, 2**32 - 2)


def test_attributes_are_sorted_and_binary_values_kept():
    xattrs = {b"user.b": b"\0\n\xff", b"security.capability": b"\1\0\0\2", b"user.a": b""}
    data = written(Member(b"f", "file", xattrs=xattrs))
    found = only(data).pax_headers
    assert list(found) == sorted(found)
    assert {key: os.fsencode(value) for key, value in found.items()} == {
        "SCHILY.xattr." + key.decode(): value for key, value in xattrs.items()
    }
    again = written(Member(b"f", "file", xattrs=dict(reversed(xattrs.items()))))
    assert again == data


def test_an_attribute_named_with_an_equals_sign_is_written_as_gnu_tar_does():
    data = written(Member(b"f", "file", xattrs={b"user.a=b%": b"v"}))
    assert list(only(data).pax_headers) == ["SCHILY.xattr.user.a%3Db%25"]
    listed = subprocess.run(
        ["tar", "--xattrs", "-tvvf", "-"], input=data, capture_output=True, check=True
    )
    assert b"user.a=b%" in listed.stdout


class Endless:
    """A sink that keeps only the first bytes."""

    def __init__(self):
        self.first = b""
        self.length = 0

    def write(self, data):
        self.first = (self.first + data[:2048])[:2048]
        self.length += len(data)


def test_sizes_of_eight_gib_are_extended_and_holes_written_out(tmp_path):
    size = 8 * 2**30
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(2**20)
    sink = Endless()
    writer = TarWriter(sink)
    # The file is shorter than was measured: what is missing is zeros, as a hole would be.
    with path.open("rb") as file:
        writer.add(Member(b"big", "file", size=size), file.fileno())
    writer.close()
    assert sink.length == 3 * 512 + size + 1024
    with tarfile.open(fileobj=io.BytesIO(sink.first)) as archive:
        assert archive.next().size == size


def test_contents_larger_than_any_buffer_come_back(tmp_path):
    content = os.urandom(3 * 2**20 + 17)
    (tmp_path / "f").write_bytes(content)
    with (tmp_path / "f").open("rb") as file:
        member = Member(b"f", "file", size=len(content))
        data = written((member, file.fileno()), (Member(b"g", "file", size=1), b"g"))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.extractfile("f").read() == content
        assert archive.extractfile("g").read() == b"g"


@pytest.mark.parametrize("measured", [0, 1, 511, 512, 513, 1024])
def test_a_file_that_changed_its_size_has_the_size_measured(tmp_path, measured):
    (tmp_path / "f").write_bytes(b"x" * 512)
    with (tmp_path / "f").open("rb") as file:
        member = Member(b"f", "file", size=measured)
        data = written((member, file.fileno()), Member(b"next", "file"))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["f", "next"]
        expected = (b"x" * 512)[:measured].ljust(measured, b"\0")
        assert archive.extractfile("f").read() == expected


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with (tmp_path / "f").open("wb") as file, pytest.raises(StorageError) as caught:
        written((Member(b"some/file", "file", size=1), file.fileno()))
    assert caught.value.path == "some/file"


def test_small_members_reach_the_sink_together():
    sink = Sink()
    writer = TarWriter(sink)
    for number in range(1000):
        writer.add(Member(b"f%d" % number, "file"))
    writer.close()
    assert len(sink.pieces) == 2
    assert len(read(sink.data)) == 1000
