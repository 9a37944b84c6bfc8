import os

from layerfs import mountinfo, syscalls
from layerfs.mountinfo import MountEntry

from .isolation import both_ways, isolated, process


def test_a_line_is_read_with_its_escapes_undone():
    line = (
        rb"36 35 98:5 /mnt\0401 /a\134b\012c rw,noatime shared:7 master:4 - ext3 /dev/ro\011ot"
        rb" rw,lowerdir+=/x\054y" + b"\n"
    )
    assert mountinfo.parse(line) == [
        MountEntry(
            id=36,
            parent=35,
            dev=os.makedev(98, 5),
            root=b"/mnt 1",
            target=b"/a\\b\nc",
            options=("rw", "noatime"),
            shared=7,
            master=4,
            fstype="ext3",
            source=b"/dev/ro\tot",
            super_options=(b"rw", b"lowerdir+=/x,y"),
        )
    ]


def test_optional_fields_may_be_missing_or_of_unknown_kinds():
    data = b"1 0 0:1 / / rw - tmpfs none rw\n2 1 0:2 / /x ro unbindable propagate_from:3 - a b rw\n"
    plain, tagged = mountinfo.parse(data)
    assert (plain.shared, plain.master) == (0, 0)
    assert (tagged.shared, tagged.master, tagged.options) == (0, 0, ("ro",))


def test_every_mount_of_this_process_is_read():
    entries = mountinfo.mountinfo()
    assert len(entries) == len(mountinfo.read().splitlines())
    assert any(entry.target == b"/proc" and entry.fstype == "proc" for entry in entries)


@isolated
def test_a_mount_is_found_by_its_target_whatever_its_name(tmp_path):
    target = tmp_path / "a:b,c\\d e\nf"
    target.mkdir()
    assert not mountinfo.is_mountpoint(target)
    assert mountinfo.mount_at(target) is None

    syscalls.mount("none", target, "tmpfs")
    entry = mountinfo.mount_at(target)
    assert entry is not None
    assert (entry.target, entry.fstype) == (os.fsencode(target), "tmpfs")
    assert entry.dev == target.stat().st_dev
    assert mountinfo.is_mountpoint(target)
    assert not mountinfo.is_mountpoint(target / "missing")


@isolated
def test_of_two_mounts_on_one_target_the_upper_is_found(tmp_path):
    syscalls.mount("first", tmp_path, "tmpfs")
    syscalls.mount("second", tmp_path, "tmpfs")
    assert mountinfo.mount_at(tmp_path).source == b"second"


@isolated
def test_a_symlink_to_a_mount_is_no_mount(tmp_path):
    (tmp_path / "mount").mkdir()
    (tmp_path / "link").symlink_to("mount")
    syscalls.mount("none", tmp_path / "mount", "tmpfs")
    assert not mountinfo.is_mountpoint(tmp_path / "link")
    assert mountinfo.mount_at(tmp_path / "link") is None


@both_ways
def test_the_user_namespace_is_told_with_its_ids(rootless):
    assert mountinfo.in_init_userns() is not rootless
    assert mountinfo.id_map().single is rootless


def test_a_namespace_lives_as_long_as_its_processes():
    with process("", unshare=("unshare", "-Urm")) as child:
        namespace = os.stat(f"/proc/{child.pid}/ns/mnt").st_ino
        assert namespace != mountinfo.namespace_id()
        assert mountinfo.namespace_alive(namespace)
        child.kill()
        child.wait()
        assert not mountinfo.namespace_alive(namespace)
    assert mountinfo.namespace_alive(mountinfo.namespace_id())


def test_the_boot_is_named():
    assert len(mountinfo.boot_id()) == 36
