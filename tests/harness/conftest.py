"""One target of each kind for all the tests of a module, where this machine permits any."""

from __future__ import annotations

import pytest

from harness.errors import TargetError
from harness.fabric_remote import FabricRemote
from harness.local_remote import LocalRemote
from harness.observe import Host

from . import sshd


@pytest.fixture(scope="session")
def ssh_address(tmp_path_factory):
    with sshd.server(tmp_path_factory.mktemp("sshd")) as address:
        yield address


@pytest.fixture(scope="module")
def local_remote():
    try:
        remote = LocalRemote()
    except TargetError as error:
        pytest.skip(f"no local target on this machine: {error}")
    with remote:
        yield remote


@pytest.fixture(scope="module")
def ssh_remote(ssh_address):
    try:
        remote = FabricRemote(ssh_address)
    except TargetError as error:
        pytest.skip(f"no target over ssh on this machine: {error}")
    with remote:
        yield remote


@pytest.fixture(scope="module", params=["local", "ssh"])
def remote(request):
    """Whatever the target: the promises of harness.remote hold."""
    return request.getfixturevalue(f"{request.param}_remote")


@pytest.fixture(scope="module")
def remote_host(remote):
    return Host(remote)


@pytest.fixture(scope="module")
def local_host(local_remote):
    return Host(local_remote)
