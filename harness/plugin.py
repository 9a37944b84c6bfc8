"""The pytest plugin: options, the ``clause`` marker, and how unequal trees are shown.

It is a ``pytest11`` entry point, so pytest loads it in every project of the environment: without
``--subject`` it does nothing and imports nothing of weight. With it, two plugins are registered:
:class:`harness.judge.Judge` in every process that runs cases (targets, fixtures, ledgers,
verdicts), and :class:`harness.aggregate.Aggregate` in the one that reports.

What a case may use:

- ``pytest.mark.clause(Clause(...))``, once for each test function; a case's area is its module's
  name, and its id is ``CLAUSE-ID`` or ``CLAUSE-ID[parameters]``;
- the fixture ``host``, the :class:`harness.observe.Host` to observe, one for each xdist worker;
- the fixture ``raw_subject``, a :class:`harness.subject.Subject` of the case's own;
- the fixture ``remote``, the transport below both, which few cases want;
- the fixture ``image_layout``, the path given as ``--image`` (without it the case is unsupported).

Everything that the fixtures of a case made on the host must be gone when the last of them is torn
down: what is left is a leak, and the verdict of the case.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from harness.tree import Tree

DEFAULT_OUTPUT: Final = "build/conformance"
#: The name under which what judges is registered, where there is a subject.
JUDGE: Final = "layerfs-conformance-judge"
SHOWN_DIFFERENCES: Final = 30


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options; without ``--subject`` the others mean nothing."""
    group = parser.getgroup("layerfs-conformance", "conformance of an OCI layer store")
    group.addoption(
        "--subject",
        metavar="DIR|NAME",
        help="the subject to judge: a folder with subject.toml, or one of conformance/subjects",
    )
    group.addoption("--target", default="local", help="where it runs (default: local)")
    group.addoption(
        "--profile",
        action="append",
        default=[],
        metavar="NAME",
        help="only the cases of this profile, which the subject claims (repeatable; default: all)",
    )
    group.addoption(
        "--case",
        action="append",
        default=[],
        metavar="ID",
        help="only this clause (WHT-004), or this case of it (WHT-004[last]) (repeatable)",
    )
    group.addoption(
        "--image",
        metavar="OCI-LAYOUT",
        help="a folder with an OCI image layout, for the cases on a real image; or the word built",
    )
    group.addoption(
        "--output",
        default=DEFAULT_OUTPUT,
        metavar="DIR",
        help=f"where reports and evidence are written (default: {DEFAULT_OUTPUT})",
    )
    group.addoption(
        "--suite-mode",
        choices=("session", "call"),
        default="session",
        help="one subject process for many cases where it can (session), or for each call (call)",
    )
    group.addoption(
        "--keep-evidence",
        action="store_true",
        help="write the evidence of cases that passed, too",
    )
    group.addoption(
        "--keep-on-failure",
        action="store_true",
        help="leave the machine of each worker's first bad case as it is, and tell how to enter it",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker; with ``--subject``, load what judges and what reports."""
    config.addinivalue_line(
        "markers", "clause(clause): the harness.clause.Clause that this case is of"
    )
    if config.getoption("--subject") is None:
        return
    from harness import activation  # noqa: PLC0415 - costs nothing where no subject is judged

    activation.activate(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Say what is missing where cases are collected and no subject is named."""
    if config.pluginmanager.has_plugin(JUDGE) or config.getoption("collectonly"):
        return
    if any(item.get_closest_marker("clause") for item in items):
        raise pytest.UsageError(
            "conformance cases judge a subject: add --subject NAME|DIR, "
            "or use 'layerfs-conformance run'"
        )


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Show two unequal trees as the list of what differs, one line for each path and field."""
    module = sys.modules.get("harness.tree")
    if module is None or op != "==":
        return None
    kind: type[Tree] = module.Tree
    if not (isinstance(left, kind) and isinstance(right, kind)):
        return None
    first, *lines = left.differences(right)
    shown = lines[: SHOWN_DIFFERENCES - 1]
    if len(lines) > len(shown):
        shown.append(f"… and {len(lines) - len(shown)} more")
    return [f"the trees differ (left != right): {first}", *shown]
