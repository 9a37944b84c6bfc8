"""Whole runs of a toy suite against a toy subject on the local target, by plain pytest."""

import json
import os
import shlex

import pytest

from harness import suite

from . import toy

CASES = (
    toy.PASSES,
    '''
@clause("TOY-002")
def test_makes_a_mess(store, raw_subject):
    """The subject leaves something behind."""
    raw_subject.call("list", store=store + "/leave")

@clause("TOY-003")
def test_mess_of_another_case_is_not_blamed_on_this_one(store, host):
    """A case after a leak is on a new target."""
    assert not host.exists(host.remote.workdir + "/tmp/left")

@clause("TOY-004")
def test_crashes(store, raw_subject):
    """The subject is killed by a signal."""
    raw_subject.call("list", store=store + "/crash")

@clause("TOY-005")
def test_hangs(store, raw_subject):
    """The subject does not answer."""
    raw_subject.call("list", store=store + "/hang")

@clause("TOY-006", needs=("merge",))
def test_needs_what_is_not_declared(store):
    """A capability is missing."""

@clause("TOY-007", target_needs=("can_fly",))
def test_needs_what_the_target_cannot(store):
    """A fact is missing."""

@clause("TOY-013", profile="hostile", target_needs=("zfs_upperdir",))
def test_needs_a_pool(store):
    """The target can have none."""

@clause("TOY-008")
@pytest.mark.parametrize("way", ["fails", "passes"])
def test_expected_to_fail(store, way):
    """A failure is expected in both cases."""
    assert way == "passes"

@clause("TOY-009")
def test_differs(store):
    """Two trees are not the same."""
    many = {f"d/{n}": Node("file", 0o644) for n in range(40)}
    assert Tree({"a": Node("dir", 0o755), **many}) == Tree({"a": Node("dir", 0o700)})

@clause("TOY-010")
def test_target_breaks(store, host):
    """The harness asks for nonsense."""
    host._ask("nonsense")

@clause("TOY-011", profile="overlay")
def test_of_a_profile_that_is_not_claimed(store):
    """Nobody promised this."""
    raise AssertionError

@clause("TOY-012", level="SHOULD", profile="hostile")
def test_fails_and_leaks(store, host):
    """A case both fails and leaves something."""
    host.mkdir(host.workdir + "/mess")
    assert False, "name \\udcff"
''',
)
EXPECTED = """
[[expected_failures]]
clause = "TOY-008"
reason = "known since 1970"
link = "https://example.org/8"
shown_by = "toy --fail"
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    made = toy.make(tmp_path_factory.mktemp("judge"), *CASES, toml=toy.TOML + EXPECTED)
    done = toy.run(made, "-v", workers=2)
    return made, done


@pytest.mark.parametrize(
    ("case", "verdict", "message"),
    [
        ("TOY-001", "passed", ""),
        ("TOY-002", "leaked", "left: dir '"),
        ("TOY-003", "passed", ""),
        ("TOY-004", "failed", "killed by SIGSEGV"),
        ("TOY-005", "failed", "no answer in 5 s"),
        ("TOY-006", "unsupported", "the subject does not declare: merge"),
        ("TOY-007", "unsupported", "target: local has no can_fly"),
        ("TOY-013", "unsupported", "has no zfs_upperdir (pools are made only as root on a host"),
        ("TOY-008[fails]", "expected_failure", "known since 1970"),
        ("TOY-008[passes]", "unexpected_pass", "remove the entry"),
        ("TOY-009", "failed", "the trees differ (left != right): 'a': mode 0o755 != 0o700\n"),
        ("TOY-010", "harness_error", "nonsense"),
        ("TOY-012", "failed", "/mess'"),
    ],
)
def test_each_case_has_its_verdict_and_says_why(ran, case, verdict, message):
    found = ran[0].case(case)
    assert (found.verdict, message in found.message) == (verdict, True), found.message


def test_a_known_failure_carries_what_the_subject_says_of_it(ran):
    known, other = ran[0].case("TOY-008[fails]"), ran[0].case("TOY-004")
    assert (known.reason, known.link) == ("known since 1970", "https://example.org/8")
    assert known.shown_by == "toy --fail"
    assert (other.reason, other.link, other.shown_by) == ("", "", "")


def test_a_run_says_by_what_it_was_judged_and_how_to_do_it_again(ran):
    found = ran[0].results()
    assert found.suite_digest == suite.digest()
    assert found.environment == suite.environment()
    assert found.command == f"layerfs-conformance run --subject {ran[0].subject} --target local"
    assert found.target.machine == os.uname().machine


def test_the_counts_are_those_of_the_cases(ran):
    assert ran[0].results().summary.model_dump() == {
        "passed": 2,
        "failed": 4,
        "expected_failure": 1,
        "unexpected_pass": 1,
        "unsupported": 3,
        "leaked": 1,
        "harness_error": 1,
    }


def test_a_case_of_a_profile_that_is_not_claimed_is_not_asked(ran):
    assert "TOY-011" not in {case.id for case in ran[0].results().cases}


def test_a_run_with_bad_verdicts_is_not_conformant_and_ends_badly(ran):
    made, done = ran
    assert done.returncode == 1
    assert not made.results().conformant
    assert "toy 7.1 is not conformant" in done.stdout


def test_a_case_tells_its_clause(ran):
    case = ran[0].case("TOY-001")
    assert (case.clause, case.level, case.profile, case.area) == ("TOY-001", "MUST", "core", "toys")
    assert case.requirement == "An empty store has no layers."
    assert case.source == "PROTOCOL.md"


def test_the_subject_and_the_target_are_described(ran):
    results = ran[0].results()
    assert (results.subject.name, results.subject.version) == ("toy", "7.1")
    assert results.subject.capabilities == ("gc",)
    assert results.target.name == "local"
    assert results.target.kernel
    assert results.target.uid_map
    assert "overlay" in results.target.privileges


def test_time_spent_waiting_for_the_subject_is_not_the_harness(ran):
    case = ran[0].case("TOY-005")
    assert case.duration_s > 5
    assert case.overhead_s < 5


def test_a_failure_leaves_its_evidence(ran):
    made, _ = ran
    calls = [json.loads(line) for line in made.evidence("TOY-004", "transcript.jsonl").splitlines()]
    assert [call["verb"] for call in calls] == ["open", "list", "close"]
    assert "SubjectCrashed" in calls[1]["failure"]
    assert "TOY-004: failed" in made.evidence("TOY-004", "failure.txt")
    assert " - tmpfs " in made.evidence("TOY-004", "mounts.txt")
    assert "/left" in made.evidence("TOY-002", "ledger.txt")
    assert made.evidence("TOY-004", "ledger.txt") == ""


def test_a_pass_leaves_no_evidence(ran):
    assert ran[0].case("TOY-001").evidence == ()


def test_unequal_trees_are_told_path_by_path_and_not_without_end(ran):
    lines = ran[0].case("TOY-009").message.splitlines()
    assert "'d/0': file on the left, missing on the right" in lines[1]
    assert any("and 11 more" in line for line in lines)
    assert len(lines) < 40


def test_pytest_and_its_junit_report_agree(ran):
    made, done = ran
    assert "xfailed" in done.stdout
    junit = (made.output / "junit.xml").read_text()
    assert 'name="verdict" value="leaked"' in junit
    assert 'type="pytest.xfail" message="known since 1970"' in junit


def test_the_command_to_reproduce_runs_that_case_alone(ran):
    words = shlex.split(ran[0].case("TOY-008[fails]").reproduce)
    assert words[:2] == ["layerfs-conformance", "run"]
    assert words[words.index("--case") + 1] == "TOY-008[fails]"
    assert words[words.index("--subject") + 1] == str(ran[0].subject)


def test_a_worker_that_dies_is_a_harness_error_of_its_case(tmp_path):
    dies = '''
@clause("TOY-002")
def test_dies(store):
    """The process that runs the case dies."""
    os._exit(3)
'''
    made = toy.make(tmp_path, toy.PASSES, dies)
    done = toy.run(made, workers=1)
    assert done.returncode == 1
    assert made.case("TOY-001").verdict == "passed"
    found = made.case("TOY-002")
    assert (found.verdict, found.requirement) == (
        "harness_error", "The process that runs the case dies.",
    )  # fmt: skip
    assert "crashed" in found.message


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"TOY": "dumb"}, "the subject does not answer 'info'"),
        ({"TOY": "newer"}, "the subject speaks protocol 2; this suite speaks 1"),
    ],
)
def test_a_subject_that_cannot_be_talked_to_is_no_verdict_on_any_clause(tmp_path, env, said):
    made = toy.make(tmp_path, toy.PASSES)
    done = toy.run(made, env=env)
    assert done.returncode == 1
    case = made.case("TOY-001")
    assert case.verdict == "harness_error"
    assert said in case.message


def test_a_subject_on_zfs_is_asked_nothing_where_no_pool_can_be(tmp_path):
    made = toy.make(tmp_path, toy.PASSES, toml=toy.TOML.replace('"gc"', '"gc", "zfs"'))
    toy.run(made)
    case = made.case("TOY-001")
    assert case.verdict == "unsupported"
    assert case.message == (
        "target: local has no zfs (pools are made only as root on a host itself)"
    )
    remarks = made.results().remarks
    assert any(remark.startswith("profile core is not judged: target:") for remark in remarks)


def test_only_the_named_cases_are_run_and_the_results_say_so(tmp_path):
    two = '''
@clause("TOY-002")
@pytest.mark.parametrize("n", [1, 2])
def test_numbers(store, n):
    """A number is one."""
    assert n == 1
'''
    made = toy.make(tmp_path, toy.PASSES, two)
    assert toy.run(made, cases=["TOY-002[1]"], keep_evidence=True).returncode == 0
    results = made.results()
    assert [case.id for case in results.cases] == ["TOY-002[1]"]
    assert results.selection.cases == ("TOY-002[1]",)
    assert results.conformant
    assert any(remark.startswith("narrowed") for remark in results.remarks)
    assert made.evidence("TOY-002[1]", "transcript.jsonl")
    assert toy.run(made, keyword="TOY-002[2]").returncode == 1
    assert [case.id for case in made.results().cases] == ["TOY-002[2]"]


def test_evidence_of_an_earlier_run_goes_and_what_else_is_there_stays(tmp_path):
    made = toy.make(tmp_path, toy.PASSES)
    old, other = made.output / "evidence" / "OLD-001", made.output / "evidence" / "mine"
    old.mkdir(parents=True)
    other.mkdir()
    (old / "transcript.jsonl").touch()
    (other / "notes.txt").touch()
    toy.run(made, cases=["TOY-001"])
    assert not old.exists()
    assert (other / "notes.txt").exists()
