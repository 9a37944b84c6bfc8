"""Pools without ZFS: what is run, and what is never touched. tests/zfs does it for real."""

from __future__ import annotations

import errno
import os

import pytest

from harness import pools, relay, site, workplace

OURS = "layerfs-0123abcd"


class Zpool:
    """Notes what is run; ``says`` has output, or an error, by the first two words."""

    def __init__(self, kstat):
        self.kstat = kstat
        self.says = {}
        self.calls = []
        self.comments = {}

    def have(self, name, comment=""):
        (self.kstat / name).mkdir(parents=True)
        self.comments[name] = comment

    def run(self, *argv, **_):
        self.calls.append(argv)
        verb = argv[1]
        said = self.says.get(verb, "")
        if isinstance(said, list):
            said = said.pop(0) if said else ""
        if isinstance(said, OSError):
            raise said
        if verb == "create":
            comment = next(word for word in argv if word.startswith("comment="))
            self.have(next(word for word in argv if pools.NAME.fullmatch(word)), comment[8:])
        if verb == "destroy":
            (self.kstat / argv[-1]).rmdir()
        if verb == "list":
            said = "".join(f"{name}\t{self.comments[name]}\n" for name in argv[5:])
        return said

    def verbs(self):
        return [argv[1] for argv in self.calls]


@pytest.fixture
def zpool(tmp_path, monkeypatch):
    zpool = Zpool(tmp_path / "kstat")
    monkeypatch.setattr(pools, "KSTAT", str(zpool.kstat))
    monkeypatch.setattr(pools.zfstool, "run", zpool.run)
    monkeypatch.setattr(pools.os, "geteuid", lambda: 0)
    monkeypatch.setattr(pools, "_disk", {"pool0": "/dev/vdx"}.get)
    monkeypatch.setattr(pools, "_first_partition", lambda disk: f"{disk}1")
    return zpool


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "target"
    path.mkdir()
    return str(path)


# --- whether there can be one --------------------------------------------------------------------


@pytest.fixture
def able(tmp_path, monkeypatch):
    device = tmp_path / "zfs"
    device.touch()
    monkeypatch.setattr(pools, "DEVICE", str(device))
    monkeypatch.setattr(pools.os, "geteuid", lambda: 0)
    monkeypatch.setattr(pools.probes, "in_init_user_namespace", lambda: True)
    monkeypatch.setattr(pools.shutil, "which", lambda name: f"/sbin/{name}")
    return device


def test_a_host_that_has_all_of_it_can_have_a_pool(able):
    assert able.exists()
    assert pools.refusal() == ""


def test_without_zfs_one_stat_is_all(able, monkeypatch):
    able.unlink()
    for module, name in ((pools.os, "geteuid"), (pools.shutil, "which"), (pools.os, "open")):
        monkeypatch.setattr(module, name, None)
    assert pools.refusal() == f"there is no {able}"


@pytest.mark.parametrize("what", ["root", "namespace", "command", "device"])
def test_what_is_missing_is_said(able, monkeypatch, what):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    words = "root in the machine's first user namespace"
    if what == "root":
        monkeypatch.setattr(pools.os, "geteuid", lambda: 1000)
    elif what == "namespace":
        monkeypatch.setattr(pools.probes, "in_init_user_namespace", lambda: False)
    elif what == "command":
        monkeypatch.setattr(pools.shutil, "which", {"zpool": "/sbin/zpool"}.get)
        words = "there is no command zfs"
    else:
        monkeypatch.setattr(pools.os, "open", refuse)
        words = f"{able}: Permission denied"
    assert words in pools.refusal()


def test_without_the_module_there_are_no_pools_and_no_version(tmp_path, monkeypatch):
    monkeypatch.setattr(pools, "KSTAT", str(tmp_path / "none"))
    monkeypatch.setattr(pools.zfstool, "run", None)  # nothing is started
    assert pools.imported() == []
    assert pools.find("any") == []
    assert pools.read(str(tmp_path / "none")) == ""
    pools.clear(str(tmp_path))
    pools.sweep(str(tmp_path))


# --- making --------------------------------------------------------------------------------------


def test_a_pool_lies_on_the_empty_disk(zpool, directory):
    made = pools.make(directory, "mark", serial="pool0")
    assert pools.NAME.fullmatch(made["name"])
    assert (made["kind"], made["vdevs"]) == ("disk", ["/dev/vdx1"])
    create = zpool.calls[0]
    assert create[-2:] == (made["name"], "/dev/vdx")
    assert {"ashift=12", "autotrim=off", "cachefile=none", "comment=mark"} < set(create)
    assert {"canmount=off", "mountpoint=none"} < set(create)
    assert "-f" not in create
    assert not os.path.exists(f"{directory}/pools")


def test_without_such_a_disk_it_lies_on_a_sparse_file(zpool, directory):
    made = pools.make(directory, "mark", serial="pool1", size=1 << 30)
    (vdev,) = made["vdevs"]
    assert zpool.calls[0][-1] == vdev
    assert made["kind"] == "file"
    status = os.stat(vdev)
    assert (status.st_size, status.st_blocks) == (1 << 30, 0)


def test_several_files_are_a_mirror(zpool, directory):
    made = pools.make(directory, "mark", files=2)
    assert zpool.calls[0][-4:] == (made["name"], "mirror", *made["vdevs"])


def test_a_disk_that_somebody_uses_is_left_alone(zpool, directory):
    zpool.says = {"create": [OSError(None, "in use")], "import": OSError(None, "no pools")}
    assert pools.make(directory, "mark", serial="pool0")["kind"] == "file"
    assert "labelclear" not in zpool.verbs()


@pytest.mark.parametrize(
    ("label", "cleared"),
    [
        (f"  pool: {OURS}\n    id: 1\ncomment: /gone\n", True),
        (f"  pool: {OURS}\n    id: 1\ncomment: {{directory}}\n", False),
        (f"  pool: {OURS}\n    id: 1\n", False),
        (f"  pool: {OURS}\n    id: 1\ncomment: {pools.STANDING}\n", False),
        ("  pool: tank\n    id: 1\ncomment: /gone\n", False),
    ],
    ids=[
        "ours, and its target has gone",
        "its target lives",
        "not marked",
        "the machine's",
        "of another name",
    ],
)
def test_a_label_is_cleared_only_where_it_is_ours_and_nobody_needs_it(
    zpool, directory, label, cleared
):
    zpool.says = {
        "create": [OSError(None, "in use")], "import": label.format(directory=directory),
    }  # fmt: skip
    made = pools.make(directory, "mark", serial="pool0")
    assert made["kind"] == ("disk" if cleared else "file")
    assert (("zpool", "labelclear", "-f", "/dev/vdx1") in zpool.calls) == cleared


@pytest.mark.parametrize(
    ("serial", "comment", "imported"),
    [("pool0", pools.STANDING, True), ("pool0", "/gone", False), ("pool1", pools.STANDING, False)],
)
def test_the_machines_own_pool_is_imported_after_a_boot(zpool, serial, comment, imported):
    zpool.says = {"import": [f"  pool: {OURS}\ncomment: {comment}\n"]}
    pools.reimport(serial)
    done = [argv for argv in zpool.calls if argv[-1] == OURS]
    assert bool(done) == imported
    assert all(argv[1:3] == ("import", "-f") for argv in done)


def test_a_disk_that_was_never_used_is_not_even_looked_at(zpool, monkeypatch):
    monkeypatch.setattr(pools, "_first_partition", lambda disk: disk)
    pools.reimport("pool0")
    assert zpool.calls == []


def test_nothing_is_left_of_a_pool_that_cannot_be_made(zpool, directory):
    zpool.says = {"create": OSError(None, "no")}
    with pytest.raises(OSError, match="no"):
        pools.make(directory, "mark", files=2)
    assert os.listdir(f"{directory}/pools") == []


def test_a_mark_that_would_not_fit_is_refused(zpool, directory):
    with pytest.raises(OSError, match="cannot be marked"):
        pools.make(directory, "/a" * 17)
    assert zpool.calls == []


def test_the_directory_of_a_target_on_a_host_fits_as_a_mark():
    random = 8  # tempfile.mkdtemp
    assert len(f"{relay.PARENT}/{workplace.PREFIX}") + random <= pools._COMMENT


# --- destroying ----------------------------------------------------------------------------------


def test_a_pool_goes_with_its_files(zpool, directory):
    made = pools.make(directory, directory[-30:], files=2)
    pools.sparse_file(directory, "other", 1)
    pools.destroy(made["name"], directory)
    assert zpool.calls[-1] == ("zpool", "destroy", "-f", made["name"])
    assert os.listdir(f"{directory}/pools") == ["other"]
    pools.destroy(made["name"], directory)


def test_a_pool_in_use_is_taken_out_of_the_tree_first(zpool, directory, monkeypatch):
    mounts = [
        {"fstype": "zfs", "source": f"{OURS}/a", "target": "/a"},
        {"fstype": "zfs", "source": f"{OURS}@b", "target": "/b"},
        {"fstype": "zfs", "source": f"{OURS}0/a", "target": "/c"},
        {"fstype": "ext4", "source": f"{OURS}/a", "target": "/d"},
    ]
    detached = []
    monkeypatch.setattr(pools.census, "mountinfo", lambda: mounts)
    monkeypatch.setattr(pools.kernel, "detach", detached.append)
    zpool.have(OURS)
    zpool.says = {"destroy": [OSError(None, "busy")]}
    pools.destroy(OURS, directory)
    assert detached == ["/b", "/a"]
    assert pools.imported() == []


def test_a_pool_that_hangs_is_not_waited_for_twice(zpool, directory):
    zpool.have(OURS)
    zpool.says = {"destroy": [OSError(errno.ETIMEDOUT, "not done"), ""]}
    with pytest.raises(OSError, match="not done"):
        pools.destroy(OURS, directory)
    assert zpool.verbs() == ["destroy"]
    assert pools._DESTROY < site.TIMEOUT / 2


def test_only_pools_of_our_name_are_destroyed(zpool, directory):
    for name in ("tank", f"{OURS}x", "layerfs-", f"{OURS}/a"):
        with pytest.raises(ValueError, match="no pool of ours"):
            pools.destroy(name, directory)
    assert zpool.calls == []


def test_a_target_takes_its_own_pools_along_and_no_others(zpool, directory):
    zpool.have(OURS, directory)
    zpool.have("layerfs-00000000", pools.STANDING)
    zpool.have("layerfs-00000001", "-")
    zpool.have("tank", directory)
    assert pools.find(directory) == [OURS]
    workplace.clear(directory)
    assert pools.imported() == ["layerfs-00000000", "layerfs-00000001", "tank"]
    assert not os.path.exists(directory)


def test_a_pool_that_does_not_go_keeps_nobody(zpool, directory):
    zpool.have(OURS, directory)
    zpool.says = {"destroy": OSError(None, "busy")}
    workplace.clear(directory)
    assert not os.path.exists(directory)


def test_pools_of_targets_that_have_gone_are_swept(zpool, directory, tmp_path):
    zpool.have(OURS, f"{tmp_path}/gone")
    zpool.have("layerfs-00000000", directory)
    zpool.have("layerfs-00000001", "/elsewhere/gone")
    zpool.have("layerfs-00000002", pools.STANDING)
    workplace.sweep(str(tmp_path))
    assert OURS not in pools.imported()
    assert len(pools.imported()) == 3


def test_without_root_nothing_is_asked(zpool, directory, monkeypatch):
    zpool.have(OURS, directory)
    monkeypatch.setattr(pools.os, "geteuid", lambda: 1000)
    assert pools.find(directory) == []
    assert zpool.calls == []
