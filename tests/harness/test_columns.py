import pytest

from harness import columns
from harness.results import Selection

from .outcomes import case, results

CORE = results(case(), started="2026-01-02T00:00:00+00:00", command="run core")
HOSTILE = results(
    case("HST-001", "failed", profile="hostile", area="hostile"),
    profiles=("hostile",),
    command="run hostile",
)


def test_runs_of_different_profiles_on_one_host_are_one_column():
    [column] = columns.joined([CORE, HOSTILE])
    assert column.selection.profiles == ("core", "hostile")
    assert [one.id for one in column.cases] == ["HST-001", "WHT-001"]
    assert (column.summary.passed, column.summary.failed) == (1, 1)
    assert not column.conformant
    assert column.command.splitlines() == ["run core", "run hostile"]
    assert column.started == "2026-01-01T00:00:00+00:00"
    assert column.duration_s == CORE.duration_s + HOSTILE.duration_s


@pytest.mark.parametrize(
    "changes",
    [
        {"selection": Selection(profiles=("core", "hostile"))},
        {"selection": Selection(profiles=("hostile",), keyword="x")},
        {"suite_digest": "sha256:1"},
        {"target": HOSTILE.target.model_copy(update={"kernel": "6.2"})},
        {"subject": HOSTILE.subject.model_copy(update={"version": "2"})},
        {"cases": (*CORE.cases, *HOSTILE.cases)},
    ],
    ids=["same profile", "narrowed", "suite", "host", "version", "same case"],
)
def test_anything_else_is_a_column_of_its_own(changes):
    other = HOSTILE.model_copy(update=changes)
    assert columns.joined([CORE, other]) == [CORE, other]


def test_a_host_is_told_with_what_is_known_of_it():
    assert columns.host(CORE) == "local, 6.1"
    facts = {"distribution": "D 1", "machine": "m", "zfs_version": "2.3"}
    run = CORE.model_copy(update={"target": CORE.target.model_copy(update=facts)})
    assert columns.host(run) == "local, D 1, 6.1, m, ZFS 2.3"


def test_a_suite_is_told_by_version_and_digest():
    run = CORE.model_copy(update={"suite_version": "9", "suite_digest": "sha256:" + "ab" * 32})
    assert columns.suite(run) == "9 (abababababab)"
    assert columns.suite(run.model_copy(update={"suite_digest": ""})) == "9"
