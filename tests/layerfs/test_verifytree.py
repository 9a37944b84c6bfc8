"""A whole tree has no problems; each kind of damage is named, at its path, and nothing else is."""

import io
import os
import shutil
import struct

import pytest

from layerfs.apply import ApplyOptions
from layerfs.errors import ValidationError
from layerfs.tarstream import TarReader
from layerfs.verifytree import compare

from .extraction import (
    HOST_ROOT,
    OPAQUE,
    OPTIONS,
    S,
    assert_passes_in_user_namespace,
    directory,
    entry,
    extract,
    fifo,
    file,
    hardlink,
    needs_host_root,
    reader,
    snapshot,
    sparse,
    symlink,
)

WHEN = 1_234_567_890_123_456_789
HOLE = 8 << 20

LAYER = [
    directory(".", mode=0o711, mtime_ns=WHEN),
    directory("d", mode=0o750, mtime_ns=WHEN, xattrs={"user.dir": b"1"}),
    file("d/f", b"content", mode=0o640, mtime_ns=WHEN, xattrs={"user.a": b"x", "user.b": b"y"}),
    file("d/empty", b""),
    hardlink("d/g", "d/f"),
    hardlink("h", "d/f"),
    file("big", bytes(range(256)) * 10_000),
    sparse("sparse", HOLE, [(4096, b"a" * 4096), (HOLE - 3, b"end")]),
    sparse("nothing", HOLE, []),
    symlink("s", "d/f", mtime_ns=WHEN),
    symlink("lib", "/usr/lib"),
    fifo("p"),
    file("usr/lib/implied", b"i"),
    file("d/.wh.gone", b""),
    file("o/.wh..wh..opq", b""),
    file("o/new"),
    file(".wh.o2", b""),
    directory("o2"),
    entry("null", "char", rdev=(1, 3)),
    # What does not last:
    file("twice", b"first", mode=0o600),
    file("was-dir/inside"),
    hardlink("was-link", "big"),
    file("twice", b"second"),
    symlink("was-dir", "d"),
    file("was-link", b"own"),
]


@pytest.fixture
def root(tmp_path):
    extract(tmp_path / "root", *LAYER)
    return tmp_path / "root"


def problems(root, *entries, options=OPTIONS):
    fd = os.open(root, os.O_RDONLY)
    try:
        return compare(reader(*(entries or LAYER)), fd, options)
    finally:
        os.close(fd)


def test_what_was_just_extracted_is_whole(root):
    assert problems(root) == []


def test_nothing_is_changed_by_comparing(root):
    before = snapshot(root)
    descriptors = os.listdir("/proc/self/fd")
    problems(root)
    assert snapshot(root) == before
    assert os.listdir("/proc/self/fd") == descriptors


def retime(path, *others):
    """Give the mtime back that a damage of a directory's entries changes."""
    for one in (path, *others):
        os.utime(one, ns=(WHEN, WHEN), follow_symlinks=False)


def flip(path, offset):
    before = os.stat(path).st_mtime_ns
    with path.open("r+b") as found:
        found.seek(offset)
        byte = found.read(1)
        found.seek(offset)
        found.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before, before))


def cut(path):
    os.truncate(path, 100)
    os.utime(path, ns=(0, 0))


def unlink(path):
    path.unlink()
    retime(path.parent)


def become(path, make):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    make(path)
    retime(path.parent)


def relink(path):
    data = path.read_bytes()
    status = path.stat()
    path.unlink()
    path.write_bytes(data)
    os.chmod(path, status.st_mode & 0o7777)
    for name in ("user.a", "user.b"):
        os.setxattr(path, name, {"user.a": b"x", "user.b": b"y"}[name])
    os.utime(path, ns=(WHEN, WHEN))
    retime(path.parent)


def join(path, other):
    path.unlink()
    os.link(other, path)
    retime(path.parent)


DAMAGE = {
    "missing file": (lambda r: unlink(r / "d/empty"), [("d/empty", "missing")]),
    "missing link": (lambda r: unlink(r / "h"), [("h", "missing")]),
    "missing tree": (lambda r: become(r / "o", lambda _: None), [("o", "missing")]),
    "missing whiteout": (lambda r: unlink(r / "d/gone"), [("d/gone", "whiteout missing")]),
    "extra file": (
        lambda r: ((r / "d/extra").touch(), retime(r / "d")),
        [("d/extra", "not in the layer")],
    ),
    "extra tree": (
        lambda r: ((r / "tree/below").mkdir(parents=True), retime(r)),
        [("tree", "not in the layer")],
    ),
    "file for a directory": (
        lambda r: become(r / "o", lambda p: p.touch()),
        [("o", "type: file instead of dir")],
    ),
    "link for a directory": (
        lambda r: become(r / "d", lambda p: p.symlink_to("o")),
        [("d", "type: symlink instead of dir")],
    ),
    "file for a whiteout": (
        lambda r: become(r / "d/gone", lambda p: p.touch()),
        [("d/gone", "type: file instead of whiteout")],
    ),
    "whiteout for a file": (
        lambda r: become(r / "twice", lambda p: os.mknod(p, 0o020000, 0)),
        [("twice", "type: whiteout instead of file")],
    ),
    "one bit": (lambda r: flip(r / "big", 1_500_000), [("big", "content: differs")]),
    "one bit of a link": (lambda r: flip(r / "d/f", 3), [("h", "content: differs")]),
    "one bit in a hole": (lambda r: flip(r / "sparse", HOLE // 2), [("sparse", "content")]),
    "one bit beside data": (lambda r: flip(r / "sparse", 8192), [("sparse", "content: differs")]),
    "one bit of sparse data": (lambda r: flip(r / "sparse", HOLE - 1), [("sparse", "content")]),
    "one bit where nothing is": (lambda r: flip(r / "nothing", 0), [("nothing", "content")]),
    "shorter": (lambda r: cut(r / "big"), [("big", "size: 100 instead of 2560000")]),
    "mode": (lambda r: os.chmod(r / "d/f", 0o4640), [("h", "mode: 4640 instead of 0640")]),
    "mode of a directory": (lambda r: os.chmod(r / "o", 0o700), [("o", "mode: 0700 instead")]),
    "mode of the root": (lambda r: os.chmod(r, 0o755), [(".", "mode: 0755 instead of 0711")]),
    "mtime": (lambda r: os.utime(r / "d/f", ns=(0, WHEN + 1)), [("h", "mtime: ")]),
    "mtime of a link": (lambda r: os.utime(r / "s", ns=(0, 0), follow_symlinks=False),
                        [("s", "mtime: 0 instead of")]),
    "mtime of an implicit directory": (lambda r: os.utime(r / "usr"), [("usr", "mtime: ")]),
    "target": (
        lambda r: become(r / "s", lambda p: (p.symlink_to("d/g"), retime(p))),
        [("s", "target: b'd/g' instead of b'd/f'")],
    ),
    "changed attribute": (lambda r: os.setxattr(r / "d/f", "user.a", b"z"),
                          [("h", "xattr b'user.a': b'z' instead of b'x'")]),
    "missing attribute": (lambda r: os.removexattr(r / "d", "user.dir"),
                          [("d", "xattr b'user.dir': missing")]),
    "extra attribute": (lambda r: os.setxattr(r / "twice", "user.new", b""),
                        [("twice", "xattr b'user.new': not in the layer")]),
    "lost opaque mark": (lambda r: os.removexattr(r / "o", OPAQUE),
                         [("o", f"xattr {OPAQUE.encode()!r}: missing")]),
    "lost opaque mark of a name": (lambda r: os.removexattr(r / "o2", OPAQUE),
                                   [("o2", f"xattr {OPAQUE.encode()!r}: missing")]),
    "gained opaque mark": (lambda r: os.setxattr(r / "usr", OPAQUE, b"y"),
                           [("usr", f"xattr {OPAQUE.encode()!r}: not in the layer")]),
    "copied link": (lambda r: relink(r / "h"), [("d/f", "link: not the same file as b'h'"),
                                              ("d/g", "link: not the same file as b'h'")]),
    "joined files": (
        lambda r: join(r / "twice", r / "was-link"),
        [("twice", "size: 3 instead of 6"), ("was-link", "link: the same file as b'twice'")],
    ),
    "linked from elsewhere": (lambda r: os.link(r / "big", r.parent / "stolen"),
                              [("big", "link: 2 names, 1 of them in the layer")]),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(root, damage):
    act, expected = DAMAGE[damage]
    act(root)
    found = [(os.fsdecode(path), text) for path, text in problems(root)]
    assert [path for path, _ in found] == [path for path, _ in expected]
    for (_, text), (_, beginning) in zip(found, expected, strict=True):
        assert text.startswith(beginning)


@needs_host_root
def test_owner_and_device_are_compared(root):
    os.chown(root / "s", 1, 2, follow_symlinks=False)
    os.unlink(root / "null")
    os.mknod(root / "null", 0o020644, os.makedev(1, 5))
    os.utime(root / "null", ns=(0, 0))
    retime(root)
    assert problems(root) == [
        (b"null", "device: (1, 5) instead of (1, 3)"),
        (b"s", "owner: 1:2 instead of 0:0"),
    ]


@needs_host_root
def test_privileged_attributes_are_compared(tmp_path):
    acl = struct.pack("<I" + 5 * "HHI", 2, 1, 6, 0, 2, 7, 99, 4, 4, 0, 16, 5, 0, 32, 0, 0)
    minimal = struct.pack("<I" + 3 * "HHI", 2, 1, 6, 0, 4, 4, 0, 32, 4, 0)
    capability = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
    both = {"system.posix_acl_access": acl, "system.posix_acl_default": acl}
    layer = [
        directory("d", xattrs=both),
        file("f", mode=0o4600, xattrs={"system.posix_acl_access": acl, "trusted.x": b"1"}),
        file("g", xattrs={"security.capability": capability}),
        file("m", mode=0o600, xattrs={"system.posix_acl_access": minimal}),
    ]
    extract(tmp_path / "more", *layer)
    assert problems(tmp_path / "more", *layer) == []
    os.removexattr(tmp_path / "more/g", "security.capability")
    os.removexattr(tmp_path / "more/f", "system.posix_acl_access")
    assert problems(tmp_path / "more", *layer) == [
        (b"f", "xattr b'system.posix_acl_access': missing"),
        (b"g", "xattr b'security.capability': missing"),
    ]


@pytest.mark.skipif(HOST_ROOT, reason="the host's root reads and makes everything")
def test_what_could_not_be_stored_is_not_missed(root):
    assert not (root / "null").exists()
    assert problems(root) == []


def test_owners_are_not_compared_where_they_are_squashed(tmp_path):
    options = ApplyOptions(userxattr=True, squash_ids=True, drop_privileged_xattrs=True)
    layer = [file("owned", uid=5, gid=6)]
    extract(tmp_path / "root", *layer, options=options)
    assert problems(tmp_path / "root", *layer, options=options) == []


def test_markers_that_outlive_their_directory_are_expected(tmp_path):
    layer = [file("d/e/.wh.x", b""), file("d"), directory("d"), file("d/g")]
    extract(tmp_path / "root", *layer)
    assert problems(tmp_path / "root", *layer) == []


def test_deep_trees_and_odd_names_are_compared(tmp_path):
    name = "x" * 200
    inside = "/".join([name] * 15)
    layer = [directory(inside), symlink("s", inside), file(f"s/{inside}/f"), file(b"\xff\n")]
    extract(tmp_path / "root", *layer)
    assert problems(tmp_path / "root", *layer) == []
    os.rename(os.fsencode(tmp_path) + b"/root/\xff\n", os.fsencode(tmp_path) + b"/root/\xfe")
    os.utime(tmp_path / "root", ns=(0, 0))
    assert problems(tmp_path / "root", *layer) == [
        (b"\xfe", "not in the layer"), (b"\xff\n", "missing"),
    ]  # fmt: skip


def test_times_beyond_those_of_the_file_system_are_compared_with_the_nearest(tmp_path):
    layer = [file("far", mtime_ns=2**34 * S), file("near", mtime_ns=2**31 * S)]
    extract(tmp_path / "root", *layer)
    assert problems(tmp_path / "root", *layer) == []
    os.utime(tmp_path / "root/far", ns=(0, 0))
    assert [path for path, _ in problems(tmp_path / "root", *layer)] == [b"far"]


def test_a_damaged_archive_is_told_apart_from_a_damaged_tree(root):
    fd = os.open(root, os.O_RDONLY)
    try:
        with pytest.raises(ValidationError):
            compare(TarReader(io.BytesIO(b"".join(LAYER)[:700])), fd, OPTIONS)
    finally:
        os.close(fd)


def test_all_of_this_holds_in_a_user_namespace():
    assert_passes_in_user_namespace(__file__)
