"""Starts pytest on the cases: the arguments, and a run in this process with its events."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import pytest

from harness import carried
from harness.aggregate import Aggregate
from harness.config import CONFORMANCE
from harness.results import CaseResult, Results

INI: Final = Path(__file__).with_name("templates") / "pytest.ini"
#: Loaded by name, so that no other plugin of the environment takes part in the verdict.
PLUGINS: Final = ("xdist", "timeout", "hypothesispytest", "harness.plugin")


class Watcher(Protocol):
    """Is told how a run goes on."""

    def expect(self, total: int) -> None:
        """Prepare for so many cases."""

    def done(self, case: CaseResult) -> None:
        """Take one case with its verdict."""


@dataclass(frozen=True, slots=True)
class Request:
    """What ``layerfs-conformance run`` was asked for. Everything in it has been checked."""

    subject: str
    output: Path
    target: str = "local"
    profiles: Sequence[str] = ()
    cases: Sequence[str] = ()
    keyword: str = ""
    image: Path | None = None
    workers: int = 0
    mode: str = "session"
    keep_evidence: bool = False
    keep_on_failure: bool = False
    folder: Path = CONFORMANCE


def arguments(folder: Path = CONFORMANCE, modules: Sequence[Path] = ()) -> list[str]:
    """Return pytest's arguments for the cases in ``folder``, independent of where we are.

    With ``modules``, only these files of it are read.
    """
    loaded = [word for name in PLUGINS for word in ("-p", name)]
    paths = [str(path) for path in modules or [folder]]
    return [*paths, "-c", str(INI), "--rootdir", str(folder.parent), *loaded]


def run_arguments(request: Request) -> list[str]:
    """Return pytest's arguments for a run."""
    # What cannot be collected makes the run not conformant, and is no reason to keep silent about
    # the rest; with xdist's workers pytest does the same.
    words = [*arguments(request.folder), "--continue-on-collection-errors"]
    words += ["--subject", request.subject, "--target", request.target]
    words += ["--output", str(request.output), "--suite-mode", request.mode]
    for name in request.profiles:
        words += ["--profile", name]
    for name in request.cases:
        words += ["--case", name]
    if request.keyword:
        words += ["-k", request.keyword]
    if request.image is not None:
        words += ["--image", str(request.image)]
    if request.keep_evidence:
        words += ["--keep-evidence"]
    if request.keep_on_failure:
        words += ["--keep-on-failure"]
    if request.workers:
        words += ["-n", str(request.workers), "--dist", "worksteal"]
    return words


def environment() -> dict[str, str]:
    """Return this process's environment, changed so that pytest loads our plugins only."""
    return {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}


def pytest_main(words: Sequence[str], plugins: Sequence[object]) -> int:
    """Run pytest in this process, with our plugins only, and return its exit status."""
    os.environ.update(environment())  # the workers of xdist are to inherit it
    return int(pytest.main([*words], plugins=[*plugins]))


class _Events:
    """Tells a watcher what the reports say."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self.results: Results | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.items:
            self._watcher.expect(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        self._watcher.expect(len(ids))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if hasattr(report, carried.CASE):
            self._watcher.done(CaseResult.model_validate(getattr(report, carried.CASE)))

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        aggregate = config.pluginmanager.get_plugin("layerfs-conformance-aggregate")
        if isinstance(aggregate, Aggregate):
            self.results = aggregate.results


def run(request: Request, watcher: Watcher) -> tuple[int, Results | None]:
    """Run the cases in this process (and xdist's workers); return pytest's status and the results.

    The reports are written to ``request.output``. There are no results when pytest could not even
    begin; what it had to say is on standard error.
    """
    events = _Events(watcher)
    words = [*run_arguments(request), "-p", "no:terminal"]
    status = pytest_main(words, [events])
    return status, events.results
