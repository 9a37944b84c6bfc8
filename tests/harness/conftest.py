"""One local target for all the tests of a module, where this machine permits any."""

from __future__ import annotations

import pytest

from harness.errors import TargetError
from harness.local_remote import LocalRemote
from harness.observe import Host


@pytest.fixture(scope="module")
def local_remote():
    try:
        remote = LocalRemote()
    except TargetError as error:
        pytest.skip(f"no local target on this machine: {error}")
    with remote:
        yield remote


@pytest.fixture(scope="module")
def local_host(local_remote):
    return Host(local_remote)
