"""Pools on a real host: made, found by who may, and gone with what they belong to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from harness import pools

#: Makes a pool over a connection of its own, says its name, and waits to be killed.
VICTIM = """
import sys
from pathlib import Path
from harness import inventory
from harness.fabric_remote import FabricRemote
from harness.observe import Host
address = next(one for one in inventory.load(Path(sys.argv[1])) if one.port == int(sys.argv[2]))
host = Host(FabricRemote(address))
host.make_pool()
host.zfs.create(host.zfs.pool + "/busy", {"mountpoint": host.workdir + "/busy"})
print(host.zfs.pool, host.remote.pids(), flush=True)
input()
"""


def ours(host):
    return {pool.name for pool in host.ledger().zfs.pools if pools.NAME.fullmatch(pool.name)}


def parent(host, process):
    """Return the parent of a process (proc_pid_stat(5))."""
    return int(host.read(f"/proc/{process}/stat").rpartition(b")")[2].split()[1])


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.2)


def test_without_a_pool_there_are_no_facts_of_one(connect):
    host = connect()
    assert host.facts["zfs"] is True
    assert host.facts["zfs_version"]
    assert "zfs_pool" not in host.facts
    assert host.ledger().zfs.entries == {}


def test_a_pool_is_as_a_plain_administrator_makes_it_and_goes_with_its_target(connect):
    host = connect()
    host.make_pool()
    pool = host.zfs.pool
    host.make_pool()
    assert host.zfs.pool == pool
    assert host.zfs.properties(pool).keys() == {
        "canmount", "mountpoint", "layerfs-conformance:facts",
    }  # fmt: skip
    told = host.run(["zpool", "get", "-Ho", "value", "ashift,autotrim,cachefile,health", pool])
    assert told.stdout.split() == [b"12", b"off", b"none", b"ONLINE"]
    assert all(isinstance(host.facts[f"zfs_{fact}"], bool) for fact in (
        "upperdir", "rename_whiteout", "overlay_trusted_xattrs", "block_cloning", "posix_acl",
        "channel_programs", "inject",
    ))  # fmt: skip
    assert host.zfs.datasets(pool) == [pool]
    host.zfs.create(f"{pool}/busy", {"mountpoint": f"{host.workdir}/busy"})
    with host.hold(f"{host.workdir}/busy"):
        host.remote.close()
    other = connect()
    assert pool not in other.zfs.pools()


def test_a_standing_pool_stays_and_is_found_by_later_targets(connect):
    first = connect()
    first.make_pool(standing=True)
    pool = first.zfs.pool
    first.remote.close()
    second = connect()
    try:
        second.make_pool()
        assert second.zfs.pool == pool
        assert second.facts == {**second.facts, **first.facts, **second.remote.facts}
        if second.facts["zfs_vdev"] == "disk":  # as after a boot, when nothing is imported
            second.zfs.export_pool()
            third = connect()
            third.make_pool()
            assert third.zfs.pool == pool
    finally:
        assert second.run(["zpool", "destroy", "-f", pool]).status == 0


def test_the_pool_of_a_killed_run_goes_by_itself(connect, address):
    path = os.environ["LAYERFS_TEST_INVENTORY"]
    argv = [sys.executable, "-c", VICTIM, path, str(address.port)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as victim:
        pool = victim.stdout.readline().split()[0].decode()
        host = connect()
        assert pool in host.zfs.pools()
        victim.send_signal(signal.SIGKILL)
    until(lambda: pool not in host.zfs.pools())


def test_what_nobody_could_destroy_is_swept_by_the_next_target(connect):
    host = connect()
    host.make_pool()
    pool = host.zfs.pool
    inner = int(host.run(["sh", "-c", "echo $PPID"]).stdout)
    keeper = parent(host, inner)
    relay = parent(host, keeper)
    other = connect()
    killed = map(str, (keeper, inner, relay))  # at once: each of them would clean up
    assert other.run(["kill", "-KILL", *killed]).status == 0
    assert pool in other.zfs.pools()
    third = connect()
    assert pool not in third.zfs.pools()
    assert not third.exists(os.path.dirname(host.workdir))


def test_a_pool_of_ours_that_was_left_exported_is_no_obstacle(connect):
    host = connect()
    host.make_pool()
    if host.facts["zfs_vdev"] != "disk":
        pytest.skip("the host has no empty disk with the serial number pool0")
    host.zfs.export_pool()
    host.remote.close()
    other = connect()
    other.make_pool()
    assert other.facts["zfs_vdev"] == "disk"
    assert other.zfs.pool != host.zfs.pool


def test_a_disk_that_is_in_use_is_left_alone(connect):
    host = connect()
    host.make_pool()
    if host.facts["zfs_vdev"] != "disk":
        pytest.skip("the host has no empty disk with the serial number pool0")
    other = connect()
    other.make_pool()
    assert other.facts["zfs_vdev"] == "file"
    assert other.zfs.vdevs()[0].startswith(os.path.dirname(other.workdir))
    assert ours(host) >= {host.zfs.pool, other.zfs.pool}


def test_a_pool_of_others_is_no_business_of_ours(connect):
    host = connect()
    path = f"{host.workdir}/foreign"
    name = f"foreign{os.getpid()}"
    assert host.run(["truncate", "-s", "128m", path]).status == 0
    assert (
        host.run(["zpool", "create", "-o", "cachefile=none", "-m", "none", name, path]).status == 0
    )
    try:
        other = connect()
        other.make_pool()
        assert {pool.name: pool.health for pool in other.ledger().zfs.pools}[name] == ""
        assert name not in other.ledger().zfs.entries
        other.remote.close()
        assert name in host.zfs.pools()
        with pytest.raises(ValueError, match="is not like"):
            host.zfs.destroy(name)
    finally:
        assert host.run(["zpool", "destroy", name]).status == 0
