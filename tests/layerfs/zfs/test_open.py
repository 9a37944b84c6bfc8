"""Choosing a way to ZFS, and what importing the package costs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from layerfs import zfs
from layerfs.errors import UnsupportedError, ValidationError
from layerfs.zfs import command, core, operations
from layerfs.zfs.mounted import is_mounted

ROOT = Path(__file__).resolve().parents[3]
NO_ZFS = not os.path.exists("/dev/zfs")


def test_importing_the_package_imports_nothing_dear():
    code = "import sys, layerfs.zfs; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    dear = {"subprocess", "json", "ctypes", "dataclasses", "inspect", "signal"}
    assert not loaded & dear
    assert {name for name in loaded if name.startswith("layerfs.zfs.")} == {
        "layerfs.zfs.failure", "layerfs.zfs.records",
    }  # fmt: skip


def test_an_unknown_way_is_refused(monkeypatch):
    with pytest.raises(ValidationError, match="libzfs_core or command"):
        zfs.open_zfs("pyzfs")
    monkeypatch.setenv("LAYERFS_ZFS", "pyzfs")
    with pytest.raises(ValidationError, match="no way to zfs is called 'pyzfs'"):
        zfs.open_zfs()


@pytest.mark.skipif(not NO_ZFS, reason="there is ZFS on this machine")
@pytest.mark.parametrize("prefer", [None, "libzfs_core", "command"])
def test_without_zfs_the_remedy_is_told(prefer, monkeypatch):
    monkeypatch.delenv("LAYERFS_ZFS", raising=False)
    with pytest.raises(UnsupportedError, match="modprobe zfs") as raised:
        zfs.open_zfs(prefer)
    assert "\n" not in raised.value.message
    assert (prefer or "command: zfs") in raised.value.message


def test_the_preferred_way_is_the_only_one_tried(monkeypatch):
    tried = []

    def refuse(way):
        tried.append(way)
        raise OSError(2, "none", "x")

    monkeypatch.setattr(zfs, "_opened", refuse)
    for prefer, variable, ways in (
        ("command", "libzfs_core", ["command"]),
        (None, "libzfs_core", ["libzfs_core"]),
        (None, "", ["libzfs_core", "command"]),
    ):
        tried.clear()
        monkeypatch.setenv("LAYERFS_ZFS", variable)
        with pytest.raises(UnsupportedError):
            zfs.open_zfs(prefer)
        assert tried == ways


def public(kind):
    return {name for name, of in vars(kind).items() if callable(of) and not name.startswith("_")}


def test_both_ways_offer_what_the_interface_says_and_no_more():
    parts = (zfs.Datasets, zfs.Snapshots, zfs.Removal, zfs.Streams, zfs.Reading)
    offered = set().union(*map(public, parts))
    assert public(operations.Operations) == offered
    assert public(core.Core) == public(command.Command) == set()


def test_what_is_not_mounted_is_not():
    assert not is_mounted("zfslib-none/a")
