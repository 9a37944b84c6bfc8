import os

from layerfs import syscalls
from layerfs.filesystems import FileSystem, file_system_of

from .isolation import isolated


@isolated
def test_the_file_system_of_a_path_or_descriptor_is_named(tmp_path):
    syscalls.mount("of-a-test", tmp_path, "tmpfs")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("/proc")
    fd = os.open(tmp_path / "file", os.O_PATH)
    for place in (tmp_path / "file", os.fsencode(tmp_path), fd, b"/proc/self/fd/%d" % fd):
        assert file_system_of(place) == FileSystem("tmpfs", "of-a-test")
    assert file_system_of(tmp_path / "link").kind == "proc"
    os.close(fd)


def test_a_dataset_is_told_with_what_gives_it_what_it_lacks():
    disk = FileSystem("zfs", "pool/a b")
    assert str(disk).startswith("zfs, dataset pool/a b")
    assert disk.remedy("acls") == "`zfs set acltype=posix 'pool/a b'` gives it them"
    assert "xattr=sa" in disk.remedy("xattrs")
    assert "OpenZFS 2.2" in disk.remedy("upperdir")


def test_other_file_systems_have_remedies_too():
    disk = FileSystem("ext4", "/dev/sda1")
    assert str(disk) == "ext4"
    for lacks in ("xattrs", "acls", "case", "normalization", "bytes", "upperdir"):
        assert disk.remedy(lacks)
        assert "zfs" not in disk.remedy(lacks)
