from pathlib import Path

import pytest

from harness import mutants
from harness.catalogue import Entry
from harness.clause import Clause
from harness.errors import ConfigError
from harness.mutants import Fate, Toll

from . import toy
from .outcomes import case

WHO = ("m", "breaks it", ("WHT-001",))


def judge(*cases, **options):
    return mutants.judge(WHO, cases, **options)


@pytest.mark.parametrize("verdict", ["failed", "leaked"])
def test_a_case_that_fails_or_leaks_has_killed(verdict):
    killer = case("WHT-001[b]", verdict, message="no")
    fate = judge(case("WHT-001[a]"), killer)
    assert fate.cases == (killer,)


@pytest.mark.parametrize(
    ("cases", "why"),
    [
        ([case("WHT-001[a]"), case("WHT-001[b]")], "WHT-001[a], WHT-001[b] passed"),
        ([case(verdict="harness_error", message="no info\nmore")],
         "WHT-001: harness_error: no info"),
        ([case(verdict="unsupported", message="the subject does not declare: merge")],
         "WHT-001: unsupported: the subject does not declare: merge"),
        ([], "no case was run"),
    ],
)  # fmt: skip
def test_anything_else_is_no_kill_and_says_why(cases, why):
    fate = judge(*cases)
    assert (fate.cases, fate.unjudged, fate.why) == ((), False, why)


def test_a_crash_kills_only_a_mutant_that_is_meant_to_crash():
    crashed = case(verdict="failed", failure="SubjectCrashed", message="add: a traceback")
    assert judge(crashed).cases == ()
    assert judge(crashed).why == "WHT-001: failed: add: a traceback"
    assert judge(crashed, crashes=True).cases == (crashed,)


def test_what_the_target_cannot_run_is_not_judged():
    fate = judge(case(verdict="unsupported", message="target: local has no devices"))
    assert (fate.unjudged, fate.why) == (True, "target: local has no devices")


def entries(module=Path("test_toys.py"), **levels):
    made = {}
    for name, level in levels.items():
        id_ = name.replace("_", "-")
        made[id_] = Entry(Clause(id_, level, "source"), "area", (id_,), module)
    return made


def test_a_must_clause_is_covered_only_by_a_case_of_its_own_that_killed():
    clauses = entries(WHT_001="MUST", WHT_002="MUST", WHT_003="MUST", WHT_004="SHOULD")
    fates = [
        Fate("a", "", ("WHT-001", "WHT-002"), cases=(case("WHT-001", "failed"),)),
        Fate("b", "", ("WHT-003",), why="target: none", unjudged=True),
    ]
    assert mutants.uncovered(clauses.values(), fates) == ["WHT-002"]


def test_the_toll_is_good_only_when_all_are_dead_and_all_is_covered():
    dead = Fate("a", "", ("WHT-001",), cases=(case("WHT-001", "failed", failure="BadAnswer"),))
    alive = Fate("b", "", ("WHT-001",), why="passed")
    assert Toll([dead]).good
    assert not Toll([]).good
    assert not Toll([dead, alive]).good
    assert not Toll([dead], uncovered=["WHT-002"]).good
    assert Toll([dead, alive], ["WHT-002"]).to_json() == {
        "killed": [
            {"mutant": "a", "case": "WHT-001", "cases": ["WHT-001"], "verdict": "failed",
             "how": "BadAnswer"},
        ],
        "survived": [{"mutant": "b", "clauses": ["WHT-001"], "why": "passed"}],
        "unjudged": [],
        "uncovered": ["WHT-002"],
    }  # fmt: skip


def make_mutant(folder, name, env, catches=("TOY-001",)):
    (folder / name).mkdir(parents=True)
    (folder / name / "subject.toml").write_text(
        f'base = "../../subject"\n'
        f"[command.env]\nTOY = {env!r}\n"
        f'[mutant]\ndescription = "broken: {env}"\ncatches = {list(catches)}\n'
    )


@pytest.fixture
def made(tmp_path):
    strict = '''
@clause("TOY-001")
def test_answers(raw_subject):
    """The subject is not broken."""
    assert raw_subject.call("list", store="/x").layers == ()
'''
    made = toy.make(tmp_path, strict)
    (made.subject / "toy.py").write_text(
        toy.SUBJECT.replace(
            'print(json.dumps({"layers": []}))',
            'layer = {"digest": "sha256:" + "0" * 64, "diff_id": "sha256:" + "0" * 64, "size": 0,'
            ' "media_type": ""}\n'
            '    print(json.dumps({"layers": [layer] * (os.environ.get("TOY") == "lies")}))',
        )
    )
    return made


def test_mutants_are_run_against_the_cases_that_claim_to_catch_them(made, tmp_path):
    folder = tmp_path / "mutants"
    make_mutant(folder, "liar", "lies")
    make_mutant(folder, "honest", "")
    make_mutant(folder, "dumb", "dumb")
    make_mutant(folder, "lost", "lies", catches=("TOY-404",))
    told = []
    clauses = entries(made.suite / "test_toys.py", TOY_001="MUST", TOY_002="MUST")
    toll = mutants.run(
        mutants.find([], folder), clauses, workers=2, told=told.append, suite=made.suite
    )
    assert sorted(fate.mutant for fate in told) == ["dumb", "honest", "liar", "lost"]
    assert [(fate.mutant, fate.cases[0].id) for fate in toll.killed] == [("liar", "TOY-001")]
    survived = {fate.mutant: fate.why for fate in toll.survived}
    assert survived["honest"] == "TOY-001 passed"
    assert "does not answer 'info'" in survived["dumb"]
    assert survived["lost"] == "claims to be caught by TOY-404, which is no clause"
    assert toll.uncovered == ["TOY-002"]


def test_a_mutant_whose_judge_dies_has_survived_and_the_others_are_judged(made, tmp_path):
    broken = '''
@clause("TOY-002")
def test_ends_the_judge():
    """The process of the harness ends."""
    os._exit(7)
'''
    module = made.suite / "test_toys.py"
    module.write_text(module.read_text() + broken)
    folder = tmp_path / "mutants"
    make_mutant(folder, "a-killer", "lies", catches=("TOY-002",))
    make_mutant(folder, "liar", "lies")
    clauses = entries(module, TOY_001="MUST", TOY_002="MUST")
    toll = mutants.run(mutants.find([], folder), clauses, suite=made.suite)
    assert [fate.mutant for fate in toll.killed] == ["liar"]
    assert [fate.why for fate in toll.survived] == ["its judge ended too early, with exit status 7"]


def test_an_unknown_mutant_is_refused_with_those_that_there_are(tmp_path):
    make_mutant(tmp_path, "liar", "lies")
    with pytest.raises(ConfigError, match="no mutant 'lair'; known mutants: liar"):
        mutants.find(["lair"], tmp_path)


def test_a_mutant_must_say_what_it_breaks(made, tmp_path):
    other = tmp_path / "mutants" / "silent"
    other.mkdir(parents=True)
    (other / "subject.toml").write_text('base = "../../subject"\n')
    with pytest.raises(ConfigError, match="mutant: is missing"):
        mutants.find([], Path(tmp_path) / "mutants")
    assert made.subject.exists()
