"""Fixtures of the cases. The transport, the host and the raw subject come from harness.plugin."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from conformance.disks import on_dataset
from conformance.driver import Driver
from harness.observe import Host
from harness.subject import Subject


@pytest.fixture
def subject(subject_at: Callable[[str], Driver]) -> Driver:
    """Give the subject with an open store of the case's own."""
    return subject_at("store")


@pytest.fixture
def subject_at(raw_subject: Subject, host: Host) -> Iterator[Callable[[str], Driver]]:
    """Give a maker of further open stores, each by its name in a directory of its own."""
    with contextlib.ExitStack() as stack:

        def make(name: str) -> Driver:
            directory = host.tmp("case")
            driver = Driver(raw_subject, host, directory, f"{directory}/{name}")
            stack.callback(driver.end)
            driver.open()
            return driver

        yield make


@pytest.fixture
def pool(host: Host) -> str:
    """Give the name of the run's ZFS pool; the clause has ``target_needs=("zfs",)``."""
    return host.zfs.pool


@pytest.fixture
def dataset(host: Host) -> Iterator[str]:
    """Give the name of a fresh dataset, somebody else's, which goes with all below it."""
    with host.zfs.dataset() as name:
        yield name


@pytest.fixture
def subject_on_dataset(raw_subject: Subject, host: Host) -> Iterator[Driver]:
    """Give the subject with an open store whose directory lies on a ZFS dataset of its own."""
    with on_dataset(raw_subject, host) as driver:
        yield driver
