"""Fixtures of the cases. The transport, the host and the raw subject come from harness.plugin."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

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
