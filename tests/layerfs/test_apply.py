"""Extraction onto real file systems: what a tar says is what lies there, and nothing besides."""

import errno
import io
import os
import resource
import struct
import subprocess
import sys

import pytest

from layerfs import syscalls
from layerfs.apply import ApplyOptions
from layerfs.errors import (
    HostileLayerError,
    InvalidLayerPathError,
    InvalidOverlayError,
    PathError,
    PermissionDeniedError,
    ValidationError,
    WriteFailedError,
)
from layerfs.limits import Limits
from layerfs.removal import disk_usage
from layerfs.tarstream import TarReader

from .extraction import (
    GID,
    HOST_ROOT,
    OPAQUE,
    ROOT,
    UID,
    S,
    assert_passes_in_user_namespace,
    directory,
    entry,
    extract,
    extract_from,
    fifo,
    file,
    hardlink,
    kind,
    mode,
    mtime_ns,
    names,
    needs_host_root,
    reader,
    sparse,
    symlink,
    tar,
)
from .isolation import isolated

WHEN = 1_234_567_890_123_456_789
ACL = struct.pack(
    "<I" + 5 * "HHI", 2,
    1, 6, 0xFFFFFFFF, 2, 7, 1234, 4, 4, 0xFFFFFFFF, 16, 5, 0xFFFFFFFF, 32, 0, 0xFFFFFFFF,
)  # fmt: skip
#: With a mask, and no users that a namespace might not have.
MASKED = struct.pack(
    "<I" + 4 * "HHI", 2, 1, 6, 0xFFFFFFFF, 4, 4, 0xFFFFFFFF, 16, 5, 0xFFFFFFFF, 32, 0, 0xFFFFFFFF
)
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)  # cap_net_raw+ep


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


@pytest.fixture
def deep(tmp_path):
    """A root whose tree is deeper than pytest's own removal of old directories can go."""
    yield tmp_path / "root"
    subprocess.run(["rm", "-rf", tmp_path / "root"], check=True)


def xattrs(path):
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
    }


# --- entries and their metadata ------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
@pytest.mark.parametrize("wanted", [0, 0o444, 0o644, 0o4755, 0o2755, 0o1777, 0o7777])
def test_modes_do_not_depend_on_the_umask(root, umask, wanted):
    before = os.umask(umask)
    try:
        extract(root, directory("d", mode=wanted), file("d/f", mode=wanted), fifo("p", mode=wanted),
                file("implied/f"))  # fmt: skip
    finally:
        os.umask(before)
    assert mode(root / "d") == mode(root / "p") == wanted
    assert mode(root / "implied") == 0o755
    os.chmod(root / "d", 0o700)
    assert mode(root / "d/f") == wanted


def test_content_is_that_of_the_archive(root):
    big = os.urandom(3_000_001)
    report = extract(root, file("empty", b""), file("small", b"x"), file("big", big))
    assert (root / "empty").read_bytes() == b""
    assert (root / "small").read_bytes() == b"x"
    assert (root / "big").read_bytes() == big
    assert (report.entries, report.bytes) == (3, 3_000_002)


def test_times_are_kept_to_the_nanosecond_and_those_of_directories_after_their_children(root):
    extract(
        root, directory(".", mtime_ns=WHEN + 4), directory("d", mtime_ns=WHEN),
        file("d/f", mtime_ns=WHEN + 1), symlink("d/s", "f", mtime_ns=WHEN + 2),
        fifo("d/p", mtime_ns=WHEN + 3), file("old", mtime_ns=-S),
    )  # fmt: skip
    found = [mtime_ns(root / name) - WHEN for name in ("d", "d/f", "d/s", "d/p", ".")]
    assert found == [0, 1, 2, 3, 4]
    assert mtime_ns(root / "old") == -S


@needs_host_root
def test_owners_are_kept_also_large_ones(root):
    extract(
        root, directory("d", uid=1, gid=2), file("d/f", uid=4_000_000_000, gid=3_000_000_000),
        symlink("s", "f", uid=5, gid=6), fifo("p", uid=7, gid=8), file("own"), file("g", gid=9),
    )  # fmt: skip
    found = {name: (root / name).lstat() for name in names(root)}
    assert {name: (one.st_uid, one.st_gid) for name, one in found.items()} == {
        "d": (1, 2), "d/f": (4_000_000_000, 3_000_000_000), "s": (5, 6), "p": (7, 8),
        "own": (0, 0), "g": (0, 9),
    }  # fmt: skip


def test_squashed_ownership_gives_all_to_the_caller(root):
    options = ApplyOptions(userxattr=True, squash_ids=True, drop_privileged_xattrs=True)
    extract(root, directory("d", uid=1, gid=2), file("d/f", uid=70_000, mode=0o6755),
            options=options)  # fmt: skip
    for name in ("d", "d/f"):
        assert ((root / name).lstat().st_uid, (root / name).lstat().st_gid) == (UID, GID)
    assert mode(root / "d/f") == 0o6755


@needs_host_root
def test_owner_mode_and_capabilities_survive_together(root):
    extract(root, file("ping", uid=1, gid=2, mode=0o6755,
                       xattrs={"security.capability": CAPABILITY}))  # fmt: skip
    assert xattrs(root / "ping") == {"security.capability": CAPABILITY}
    assert mode(root / "ping") == 0o6755
    assert (root / "ping").stat().st_uid == 1


@pytest.mark.skipif(HOST_ROOT, reason="the host's root can set everything")
def test_capabilities_are_kept_or_named_as_left_out_without_privilege(root):
    report = extract(root, file("ping", mode=0o755, xattrs={"security.capability": CAPABILITY}))
    if os.geteuid() == 0:  # of a user namespace
        assert xattrs(root / "ping") == {"security.capability": CAPABILITY}
        assert report.skipped == []
    else:
        assert xattrs(root / "ping") == {}
        assert report.skipped == [(b"ping", "capabilities cannot be set here")]


def test_user_attributes_are_kept_also_many_and_on_files_without_write_permission(root):
    wanted = {f"user.{'n' * 20}{number}": bytes([number]) * 20 for number in range(40)}
    extract(root, file("f", mode=0o444, xattrs=wanted), directory("d", xattrs=wanted, mode=0o555))
    assert xattrs(root / "f") == xattrs(root / "d") == wanted
    assert (mode(root / "f"), mode(root / "d")) == (0o444, 0o555)


@needs_host_root
def test_trusted_attributes_are_kept_on_every_kind(root):
    wanted = {"trusted.x": b"\0\xff"}
    extract(root, directory("d", xattrs=wanted), symlink("s", "/etc/passwd", xattrs=wanted),
            fifo("p", xattrs=wanted), entry("c", "char", rdev=(1, 3), xattrs=wanted))  # fmt: skip
    assert [xattrs(root / name) for name in "dspc"] == [wanted] * 4


def test_privileged_attributes_are_dropped_when_asked(root):
    options = ApplyOptions(userxattr=True, squash_ids=True, drop_privileged_xattrs=True)
    extract(root, file("f", xattrs={"trusted.x": b"1", "security.x": b"2", "user.x": b"3"}),
            options=options)  # fmt: skip
    assert xattrs(root / "f") == {"user.x": b"3"}


def test_forged_overlay_attributes_are_never_applied(root):
    forged = {"trusted.overlay.opaque": b"y", "user.overlay.redirect": b"/x", "user.kept": b"1"}
    extract(root, directory("d", xattrs=forged), file("d/f", xattrs=forged))
    assert xattrs(root / "d") == xattrs(root / "d/f") == {"user.kept": b"1"}


@needs_host_root
def test_access_control_lists_are_kept_and_children_do_not_inherit_them(root):
    both = {"system.posix_acl_access": ACL, "system.posix_acl_default": ACL}
    extract(root, directory("d", xattrs=both), file("d/f"), directory("d/e"),
            file("g", mode=0o4600, xattrs={"system.posix_acl_access": ACL}))  # fmt: skip
    assert xattrs(root / "d") == both
    assert xattrs(root / "d/f") == xattrs(root / "d/e") == {}
    assert mode(root / "g") == 0o4650  # the mask shows in the place of the group's bits


def test_a_default_acl_or_setgid_bit_of_the_staging_directory_is_not_inherited(root):
    root.mkdir()
    os.chmod(root, 0o2777)
    plain = struct.pack("<I" + 3 * "HHI", 2, 1, 7, 0xFFFFFFFF, 4, 7, 0xFFFFFFFF, 32, 7, 0xFFFFFFFF)
    try:
        os.setxattr(root, "system.posix_acl_default", plain)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip(f"no ACLs on the file system of {root}")
    extract(root, directory("d"), file("d/f"))
    assert (mode(root), mode(root / "d"), mode(root / "d/f")) == (0o755, 0o755, 0o644)
    assert xattrs(root) == xattrs(root / "d") == {}


@needs_host_root
def test_devices_are_made_by_root(root):
    extract(root, entry("null", "char", rdev=(1, 3), mode=0o666),
            entry("loop", "block", rdev=(7, 300), uid=5))  # fmt: skip
    assert kind(root / "null") == "char"
    assert mode(root / "null") == 0o666
    assert (root / "null").stat().st_rdev == os.makedev(1, 3)
    assert kind(root / "loop") == "block"
    assert (root / "loop").stat().st_rdev == os.makedev(7, 300)


@pytest.mark.skipif(HOST_ROOT, reason="the host's root can make devices")
def test_devices_and_links_to_them_are_left_out_and_named_without_privilege(root):
    null = entry("null", "char", rdev=(1, 3))
    report = extract(root, null, hardlink("zero", "null"), file("gone"), hardlink("gone", "null"),
                     null)  # fmt: skip
    assert names(root) == []
    assert [path for path, _ in report.skipped] == [b"null", b"zero", b"gone", b"null"]


def test_a_fifo_is_a_fifo(root):
    extract(root, fifo("p", mtime_ns=WHEN))
    assert kind(root / "p") == "fifo"


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [b"\xff\xfe", b"new\nline", b"a:b,c\\d", b"-rf", " ü".encode(), b"x" * 255, b"tab\t*"]
)
def test_names_are_bytes(root, name):
    extract(root, directory(name + b"/sub"), file(name + b"/sub/" + name), symlink(b"s", name))
    assert (root / os.fsdecode(name) / "sub" / os.fsdecode(name)).read_bytes() == b"data"
    assert os.readlink(os.fsencode(root / "s")) == name


def hops(name, count, length):
    """Directories in directories, each ``length`` of them reached through a symlink to the last."""
    inside = "/".join([name] * length)
    yield symlink("hop0", ".")
    for hop in range(count):
        yield directory(f"hop{hop}/{inside}", mtime_ns=WHEN)
        yield symlink(f"hop{hop + 1}", f"hop{hop}/{inside}")


def test_paths_longer_than_the_kernel_takes_at_once(deep):
    name = "x" * 200
    report = extract(deep, *hops(name, 3, 15), file("hop3/f", mtime_ns=WHEN),
                     hardlink("short", "hop3/f"), file("hop2/near"))  # fmt: skip
    assert max(len(path) for path in report.implicit) > 2 * os.pathconf("/", "PC_PATH_MAX")
    fd = os.open(deep, os.O_RDONLY)
    for _ in range(45):
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    found = os.stat("f", dir_fd=fd)
    assert os.fstat(fd).st_mtime_ns == WHEN
    os.close(fd)
    assert (found.st_ino, found.st_mtime_ns) == ((deep / "short").stat().st_ino, WHEN)


def test_a_tree_thousands_of_directories_deep_is_made_and_replaced(deep):
    extract(deep, *hops("d", 3, 700), file("hop3/f"), file("d"), limits=Limits(max_depth=2100))
    assert kind(deep / "d") == "file"


# --- order and repetition ------------------------------------------------------------------------


def test_children_may_come_before_their_parents(root):
    report = extract(root, file("a/b/f", mtime_ns=WHEN), directory("a/b", mode=0o500, mtime_ns=1),
                     directory("a", mode=0o711, mtime_ns=2))  # fmt: skip
    assert [(mode(root / name), mtime_ns(root / name)) for name in ("a/b", "a")] == [
        (0o500, 1), (0o711, 2),
    ]  # fmt: skip
    assert report.implicit == [b"."]


VARIANTS = {
    "file": [file("x", b"new", mode=0o600, mtime_ns=WHEN)],
    "dir": [directory("x", mode=0o711, mtime_ns=WHEN)],
    "symlink": [symlink("x", "elsewhere", mtime_ns=WHEN)],
    "fifo": [fifo("x", mtime_ns=WHEN)],
    "hardlink": [file("other", mtime_ns=WHEN), hardlink("x", "other")],
}
FORMER = VARIANTS | {"dir": [directory("x"), directory("x/d"), file("x/d/f"), symlink("x/s", "/")]}


@pytest.mark.parametrize("last", VARIANTS)
@pytest.mark.parametrize("first", FORMER)
def test_the_last_of_a_name_wins(root, first, last):
    extract(root, *FORMER[first], file("between"), *VARIANTS[last])
    assert kind(root / "x") == {"hardlink": "file"}.get(last, last)
    assert mtime_ns(root / "x") == WHEN
    if first == last == "dir":
        assert names(root / "x") == ["d", "d/f", "s"]
    elif last == "dir":
        assert names(root / "x") == []
    elif last == "file":
        assert (root / "x").read_bytes() == b"new"


def test_a_directory_over_a_directory_keeps_children_and_has_new_metadata(root):
    extract(root, directory("d", mode=0o700, xattrs={"user.old": b"1"}), file("d/f"),
            directory("d", mode=0o751, mtime_ns=WHEN, xattrs={"user.new": b"2"}))  # fmt: skip
    assert names(root) == ["d", "d/f"]
    assert (mode(root / "d"), mtime_ns(root / "d")) == (0o751, WHEN)
    assert xattrs(root / "d") == {"user.new": b"2"}


def test_a_directory_that_comes_again_is_a_new_one(root):
    extract(root, file("d/e/f"), file("d"), file("d2"), directory("d"), file("d/g"))
    assert names(root) == ["d", "d/g", "d2"]


def test_parents_that_nobody_mentions_are_plain_and_reported(root):
    report = extract(root, file("a/b/c/f"), directory("a/b"), file("a/f"))
    assert report.implicit == [b".", b"a", b"a/b/c"]
    for name in ("a", "a/b/c"):
        assert (mode(root / name), mtime_ns(root / name)) == (0o755, 0)


def test_the_root_has_the_metadata_of_its_entry(root):
    report = extract(root, directory("./", mode=0o1777, mtime_ns=WHEN), file("f"))
    assert (mode(root), mtime_ns(root)) == (0o1777, WHEN)
    assert report.implicit == []


def test_directories_without_permissions_still_get_their_children(root):
    extract(root, directory("d", mode=0), directory("d/e", mode=0), file("d/e/f", mode=0))
    assert mode(root / "d") == 0
    os.chmod(root / "d", 0o700)
    assert mode(root / "d/e") == 0
    os.chmod(root / "d/e", 0o700)
    assert mode(root / "d/e/f") == 0


# --- links ---------------------------------------------------------------------------------------


def test_hardlinks_share_one_inode_with_the_metadata_of_its_own_entry(root):
    extract(root, file("a/f", mode=0o640, mtime_ns=WHEN), hardlink("b/g", "a/f", mode=0o777),
            hardlink("h", "b/g"))  # fmt: skip
    assert len({(root / name).stat().st_ino for name in ("a/f", "b/g", "h")}) == 1
    assert (root / "h").stat().st_nlink == 3
    assert (mode(root / "h"), mtime_ns(root / "h")) == (0o640, WHEN)


def test_replacing_one_name_of_a_linked_file_leaves_the_others(root):
    extract(root, file("a", b"first", mode=0o600), hardlink("b", "a"), hardlink("c", "a"),
            file("b", b"second", mode=0o644), symlink("c", "a"))  # fmt: skip
    assert (root / "a").read_bytes() == b"first"
    assert mode(root / "a") == 0o600
    assert (root / "b").read_bytes() == b"second"


def test_a_hardlink_to_a_symlink_is_the_symlink(root):
    extract(root, symlink("s", "/etc/passwd"), hardlink("t", "s"))
    assert os.readlink(root / "t") == "/etc/passwd"
    assert (root / "t").lstat().st_ino == (root / "s").lstat().st_ino


def test_a_hardlink_to_itself_changes_nothing(root):
    extract(root, file("a"), hardlink("a", "a"), hardlink("b", "a"), hardlink("b", "a"))
    assert (root / "a").stat().st_nlink == 2


def test_a_hardlink_may_replace_the_directory_that_holds_its_target(root):
    extract(root, file("d/f", b"kept"), hardlink("d", "d/f"))
    assert names(root) == ["d"]
    assert (root / "d").read_bytes() == b"kept"


def test_hardlinks_are_resolved_through_symlinked_parents_of_the_layer(root):
    extract(root, file("usr/lib/f"), symlink("lib", "/usr/lib"), hardlink("lib/g", "lib/f"))
    assert (root / "usr/lib/g").stat().st_nlink == 2


@pytest.mark.parametrize(
    "target", ["nowhere", "d/nowhere", "nowhere/f", ".wh.gone", "gone", "later"]
)
def test_a_hardlink_to_what_the_layer_does_not_have_is_refused(root, target):
    with pytest.raises(InvalidLayerPathError) as caught:
        extract(root, directory("d"), file(".wh.gone", b""), hardlink("h", target), file("later"))
    assert not isinstance(caught.value, HostileLayerError)
    assert "h" not in names(root)


@pytest.mark.parametrize("to", ["usr/lib", "/usr/lib", "./usr/../usr/lib/", "../../usr/lib", "l2"])
def test_a_symlinked_parent_of_the_same_layer_is_followed_inside_the_root(root, to):
    report = extract(
        root, directory("usr"), directory("usr/lib", mtime_ns=1), symlink("l2", "usr/lib"),
        symlink("lib", to), file("lib/f"), directory("lib/d", mtime_ns=WHEN),
        directory("usr/lib/d", mode=0o711, mtime_ns=WHEN + 1), file("lib/new/f"),
    )  # fmt: skip
    assert names(root / "usr/lib") == ["d", "f", "new", "new/f"]
    assert (mode(root / "usr/lib/d"), mtime_ns(root / "usr/lib/d")) == (0o711, WHEN + 1)
    assert mtime_ns(root / "usr/lib") == 1
    assert report.implicit == [b".", b"usr/lib/new"]


def test_a_symlink_that_changes_leads_later_entries_elsewhere(root):
    extract(root, directory("one"), directory("two"), symlink("s", "one"), file("s/f"),
            symlink("s", "two"), file("s/f"), directory("s"), file("s/g"))  # fmt: skip
    assert names(root) == ["one", "one/f", "s", "s/g", "two", "two/f"]


def test_a_directory_that_becomes_a_symlink_leads_later_entries_elsewhere(root):
    extract(root, directory("there"), file("d/f"), symlink("d", "there"), file("d/f", b"new"))
    assert names(root) == ["d", "there", "there/f"]


@pytest.mark.parametrize("to", ["nowhere", "loop", "/", "d/f"])
def test_a_symlink_as_parent_must_lead_to_a_directory_of_the_layer(root, to):
    entries = [file("d/f"), symlink("loop", "loop"), symlink("s", to)]
    if to == "/":
        extract(root, *entries, file("s/g"))
        assert (root / "g").exists()
        return
    with pytest.raises(InvalidLayerPathError) as caught:
        extract(root, *entries, file("s/g"))
    assert isinstance(caught.value, HostileLayerError) == (to != "d/f")


def test_a_file_cannot_be_a_parent(root):
    with pytest.raises(InvalidLayerPathError) as caught:
        extract(root, file("f"), file("f/g"))
    assert type(caught.value) is InvalidLayerPathError


# --- whiteouts -----------------------------------------------------------------------------------


def test_a_whiteout_becomes_a_character_device_0_0(root):
    report = extract(root, file("d/.wh.x", b""), file(".wh.y", b"ignored"), file(".wh.z z", b""))
    assert {name: kind(root / name) for name in ("d/x", "y", "z z")} == dict.fromkeys(
        ("d/x", "y", "z z"), "whiteout"
    )
    assert names(root) == ["d", "d/x", "y", "z z"]
    assert report.implicit == [b".", b"d"]
    assert report.whiteouts == [b".", b"d"]


@pytest.mark.parametrize("position", range(4))
def test_an_opaque_marker_marks_the_directory_wherever_it_stands(root, position):
    entries = [directory("d", mtime_ns=WHEN), file("d/new"), file("d/sub/f")]
    entries.insert(position, file("d/.wh..wh..opq", b""))
    report = extract(root, *entries)
    assert names(root) == ["d", "d/new", "d/sub", "d/sub/f"]
    assert xattrs(root / "d") == {OPAQUE: b"y"}
    assert mtime_ns(root / "d") == WHEN
    assert report.implicit == [b"."]  # nothing below d has anything to inherit
    assert not report.opaque_root


def test_an_opaque_directory_that_no_entry_describes_is_still_implicit(root):
    report = extract(root, file("d/.wh..wh..opq", b""), file("d/f"))
    assert report.implicit == [b".", b"d"]


def test_an_opaque_root_is_reported(root):
    assert extract(root, file(".wh..wh..opq", b""), file("f")).opaque_root
    assert xattrs(root) == {OPAQUE: b"y"}


@pytest.mark.parametrize("marker_first", [True, False])
@pytest.mark.parametrize("what", ["file", "symlink", "dir", "implied"])
def test_an_entry_wins_over_a_whiteout_of_its_name(root, what, marker_first):
    made = {"file": file("x"), "symlink": symlink("x", "y"), "dir": directory("x"),
            "implied": file("x/f")}[what]  # fmt: skip
    entries = [file(".wh.x", b""), made]
    report = extract(root, *(entries if marker_first else reversed(entries)))
    assert kind(root / "x") == {"implied": "dir"}.get(what, what)
    if what in {"dir", "implied"}:
        assert xattrs(root / "x") == {OPAQUE: b"y"}
    assert report.implicit == [b"."]
    assert report.whiteouts == []


def test_markers_outlive_a_directory_that_the_layer_replaces_for_a_while(root):
    extract(root, file("d/e/.wh.x", b""), file("d/.wh..wh..opq", b""), file("d"), directory("d"))
    assert names(root) == ["d", "d/e", "d/e/x"]
    assert kind(root / "d/e/x") == "whiteout"
    assert OPAQUE in xattrs(root / "d")


def test_markers_of_a_directory_that_ends_as_a_file_are_of_no_use(root):
    extract(root, file("d/e/.wh.x", b""), file("d"))
    assert names(root) == ["d"]


def test_a_marker_is_never_followed_through_a_symlink_of_its_own_layer(root):
    """The symlink already hides what lower layers had below its name: nothing is left to mark."""
    extract(root, directory("usr/lib"), symlink("lib", "usr/lib"), file("lib/.wh.x", b""),
            symlink("s", "/etc"), file("s/.wh.passwd", b""),
            file("s/.wh..wh..opq", b""))  # fmt: skip
    assert (kind(root / "lib"), kind(root / "s")) == ("symlink", "symlink")
    assert list((root / "usr/lib").iterdir()) == []


def test_the_modification_time_of_a_directory_survives_its_whiteouts(root):
    extract(root, directory("d", mtime_ns=WHEN, mode=0o500), file("d/.wh.x", b""))
    assert (mtime_ns(root / "d"), mode(root / "d")) == (WHEN, 0o500)


# --- sparse files --------------------------------------------------------------------------------


def test_holes_are_kept(root):
    size = 1 << 30
    report = extract(root, sparse("s", size, [(4096, b"a" * 4096), (size - 5, b"end")]),
                     sparse("empty", size, []))  # fmt: skip
    status = (root / "s").stat()
    assert (status.st_size, (root / "empty").stat().st_size) == (size, size)
    assert status.st_blocks * 512 < 1 << 20
    assert report.bytes == 4099
    with (root / "s").open("rb") as found:
        assert found.read(8193) == bytes(4096) + b"a" * 4096 + b"\0"
        found.seek(size - 6)
        assert found.read() == b"\0end\0\0"


@pytest.mark.parametrize("version", ["0.0", "0.1", "1.0", "old"])
def test_what_gnu_tar_stores_sparse_comes_out_the_same(root, tmp_path, version):
    original = tmp_path / "original"
    with original.open("wb") as made:
        for at in (0, 1 << 20, 3 << 20):
            made.seek(at)
            made.write(os.urandom(5000))
        made.truncate(5 << 20)
    style = (
        ["--format=gnu"] if version == "old" else ["--format=pax", f"--sparse-version={version}"]
    )
    archive = tmp_path / "a.tar"
    subprocess.run(["tar", *style, "-S", "-cf", archive, "-C", tmp_path, "original"], check=True)
    with archive.open("rb") as source:
        root.mkdir()
        extract_from(TarReader(source), root)
    assert (root / "original").read_bytes() == original.read_bytes()
    assert (root / "original").stat().st_blocks * 512 < 1 << 20


# --- refusals and failures -----------------------------------------------------------------------


HOSTILE = {
    "dot dot": [file("../evil")],
    "dot dot within": [directory("d"), file("d/../../evil")],
    "dot dot in a link's target": [file("f"), hardlink("h", "../f")],
    "hardlink to a directory": [directory("d"), hardlink("h", "d")],
    "hardlink to the root": [hardlink("h", ".")],
    "whiteout device": [entry("x", "char", rdev=(0, 0))],
    "bare whiteout": [file("d/.wh.")],
    "whiteout of the directory": [file("d/.wh..")],
    "whiteout of the parent": [file("d/.wh...")],
    "unknown marker": [file(".wh..wh.plnk")],
    "directory named as a whiteout": [directory(".wh.d")],
    "whiteout as a parent": [file(".wh.d/f")],
    "opaque marker as a parent": [file(".wh..wh..opq/f")],
    "dangling parent": [symlink("s", "/etc"), file("s/passwd")],
    "parent through many links": [symlink("a", "b"), symlink("b", "c"), symlink("c", "../../tmp"),
                                  file("a/f")],
    "parents in a loop": [symlink("a", "b"), symlink("b", "a"), file("a/f")],
    "hardlink through a link": [symlink("s", "/etc"), hardlink("h", "s/passwd")],
}  # fmt: skip


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE)
def test_hostile_layers_are_refused(root, entries):
    with pytest.raises(HostileLayerError) as caught:
        extract(root, *entries)
    assert caught.value.path
    assert "\n" not in caught.value.message


def test_a_root_that_is_no_directory_is_refused(root):
    with pytest.raises(InvalidLayerPathError):
        extract(root, file("."))


@pytest.mark.parametrize(
    "made", [file("x" * 256), symlink("s", "x" * 4096), file("d/" + "y" * 256 + "/f")]
)
def test_names_longer_than_the_kernel_takes_are_refused(root, made):
    with pytest.raises(InvalidLayerPathError):
        extract(root, made)


def test_names_of_forty_symlinks_deep_are_followed_and_no_more(root):
    links = [directory("d"), symlink("l0", "d")]
    links += [symlink(f"l{number}", f"l{number - 1}") for number in range(1, 41)]
    extract(root, *links, file("l39/f"))
    assert (root / "d/f").exists()
    with pytest.raises(HostileLayerError):
        extract(root.with_name("more"), *links, file("l40/f"))


@pytest.mark.skipif(HOST_ROOT, reason="the host's root has every id")
def test_an_owner_that_is_not_mapped_is_named(root):
    with pytest.raises(PermissionDeniedError, match="f"):
        extract(root, file("f", uid=12345, gid=54321), options=ApplyOptions(userxattr=True))


def test_a_file_size_limit_is_a_write_failure_with_the_layers_path(root):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(WriteFailedError) as caught:
            extract(root, file("d/big", bytes(200_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (caught.value.path, caught.value.errno) == ("d/big", errno.EFBIG)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("user.a", b"1", "attributes such as 'user.a'"), ("system.posix_acl_access", MASKED, "ACLs")],
    ids=["attribute", "ACL"],
)
@isolated
def test_what_the_file_system_cannot_keep_is_named(root, name, value, told):
    root.parent.mkdir(exist_ok=True)
    syscalls.mount("none", root.parent, "ramfs")
    with pytest.raises(InvalidOverlayError, match=rf"\(ramfs\) cannot keep, .*{told}") as caught:
        extract(root, file("d/f", xattrs={name: value}), options=ApplyOptions(userxattr=True))
    assert (caught.value.path, caught.value.errno) == ("d/f", errno.ENOTSUP)


def test_a_name_that_the_file_system_does_not_take_is_told(root, monkeypatch):
    real = os.mkdir

    def mkdir(name, *args, **more):
        if name == b"\xff":
            raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ), name)
        real(name, *args, **more)

    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(InvalidOverlayError, match="takes only UTF-8") as caught:
        extract(root, directory("\udcff"))
    assert caught.value.path == "\udcff"


def test_a_full_disk_is_a_write_failure_with_the_layers_path(tmp_path):
    script = """
import sys
from pathlib import Path
from tests.layerfs.extraction import *
from layerfs.errors import WriteFailedError
try:
    extract(Path(sys.argv[1]) / "root", file("d/big", bytes(2 << 20)))
except WriteFailedError as error:
    assert error.errno == 28, error
    print(error.path)
"""
    mounts = ["unshare", "-m"] if HOST_ROOT else ["unshare", "-Urm"]
    shell = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        [*mounts, "sh", "-c", shell, "sh", tmp_path, sys.executable, script],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("d/big\n", "")


def test_a_truncated_archive_is_refused_and_leaves_no_descriptor(root):
    before = os.listdir("/proc/self/fd")
    root.mkdir()
    data = tar(directory("a"), directory("a/b"), file("a/b/f", bytes(2000)))
    with pytest.raises(ValidationError):
        extract_from(TarReader(io.BytesIO(data[:2000])), root)
    assert os.listdir("/proc/self/fd") == before


def test_no_descriptor_is_left_after_many_directories(root):
    before = os.listdir("/proc/self/fd")
    extract(root, *(file(f"{n % 7}/{n}/{'x/' * (n % 40)}f") for n in range(100)))
    assert os.listdir("/proc/self/fd") == before


def test_what_lies_there_already_is_not_overwritten(root):
    root.mkdir()
    (root / "f").write_text("mine")
    with pytest.raises(InvalidLayerPathError):
        extract(root, file("f"))
    assert (root / "f").read_text() == "mine"


def test_what_others_put_into_a_replaced_directory_is_not_removed(root):
    source = reader(directory("d"), file("d/f"), file("d"))

    class Meddling:
        chunks, read, read_into = source.chunks, source.read, source.read_into
        limits, is_large = source.limits, False

        def __iter__(self):
            for member in source:
                if member.name == b"d" and member.kind == "file":
                    (root / "d/foreign").write_text("mine")
                yield member

    root.mkdir()
    with pytest.raises((InvalidLayerPathError, PathError)):
        extract_from(Meddling(), root)
    assert (root / "d/foreign").read_text() == "mine"


def test_what_all_of_it_takes_on_disk_is_counted(root):
    report = extract(
        root,
        directory("d", xattrs={"user.long": b"x" * 900}),
        file("d/empty"),
        file("d/one", b"1"),
        file("d/large", bytes(3_000_001), xattrs={"user.x": b"y"}),
        hardlink("d/again", "d/large"),
        file("implied/by/this", b"x" * 5000, uid=os.getuid(), mode=0o4755),
        symlink("short", "d"),
        symlink("long", "x" * 900),
        file("d/.wh.gone"),
    )
    assert report.disk_usage == disk_usage(root) > 3_000_001


def test_what_is_made_and_removed_again_is_not_counted(root):
    report = extract(root, file("a", bytes(100_000)), symlink("a", "b"))
    assert report.disk_usage is None


def test_all_of_this_holds_in_a_user_namespace():
    assert_passes_in_user_namespace(__file__)
