"""What needs a host with ZFS, as root: one of an inventory, as README, "Hosts over SSH", has it.

Run by ``LAYERFS_TEST_INVENTORY=inventory.toml pytest tests/zfs``, and skipped otherwise. The host
must be there for nothing else.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import inventory
from harness.errors import HarnessError
from harness.fabric_remote import FabricRemote
from harness.observe import Host

INVENTORY = "LAYERFS_TEST_INVENTORY"


@pytest.fixture(scope="session")
def address():
    path = os.environ.get(INVENTORY)
    if not path:
        pytest.skip(f"no host is named: {INVENTORY}=inventory.toml runs these tests on one of it")
    try:
        found, lock = inventory.lease(inventory.load(Path(path)))
    except HarnessError as error:
        pytest.skip(str(error))
    with lock:
        yield found


@pytest.fixture
def connect(address):
    """Give what makes a target; those that are left are closed in the end."""
    made = []

    def make():
        made.append(Host(FabricRemote(address, marker=inventory.MARKER)))
        return made[-1]

    yield make
    for host in made:
        host.remote.close()


@pytest.fixture(scope="module")
def host(address):
    """Give a target that has a pool."""
    with FabricRemote(address, marker=inventory.MARKER) as remote:
        host = Host(remote)
        host.make_pool()
        if not host.facts["zfs"]:
            pytest.skip(f"the host has no pool: {host.facts['zfs_refusal']}")
        yield host


@pytest.fixture
def zfs(host):
    return host.zfs


@pytest.fixture
def place(zfs):
    """Give a dataset of the test's own."""
    with zfs.dataset("test") as name:
        yield name
