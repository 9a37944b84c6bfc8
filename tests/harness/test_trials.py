import pytest

from harness import config
from harness.trials import Scene, Trial, TrialError, kills

from . import toy
from .outcomes import case

CASES = '''
@clause("TOY-001")
@pytest.mark.parametrize("way", ["a", "b", "c"])
def test_answers(raw_subject, way):
    """The subject answers, unless it is to crash in the second case."""
    raw_subject.call("list", store="/crash" if way == "b" and os.environ["TOY"] else "/x")

@clause("TOY-002")
@pytest.mark.parametrize("way", ["a", "b"])
def test_leaves_nothing(host, raw_subject, way):
    """There is nothing, and then there is."""
    assert not host.exists(host.remote.workdir + "/tmp/left")
    raw_subject.call("list", store="/leave")

@clause("TOY-003")
def test_ends_the_judge():
    """The process of the harness ends."""
    os._exit(7)

@clause("TOY-004", profile="overlay")
def test_of_a_profile_that_is_not_claimed():
    """Nobody promised this."""
    raise AssertionError
'''


def mutant(folder, name, catches, *, crashes=False):
    home = folder / "mutants" / name
    home.mkdir(parents=True)
    (home / "subject.toml").write_text(
        f'base = "../../subject"\n[mutant]\ndescription = "a toy"\n'
        f"catches = {list(catches)}\ncrashes = {str(crashes).lower()}\n"
    )
    return config.load(home)


@pytest.fixture
def tried(tmp_path, monkeypatch):
    """Try mutants that are caught by these clauses, and return what was run for each."""
    made = toy.make(tmp_path, CASES)
    monkeypatch.setenv("TOY", "crash")  # is read by the cases, in the process that runs them

    def run(*mutants):
        scene = Scene(mutants, "local", None, made.suite, [made.suite / "test_toys.py"])
        with Trial(scene) as trial:
            return [[(one.id, one.verdict) for one in trial.of(each)] for each in mutants]

    return run


@pytest.mark.parametrize(
    ("verdict", "failure", "crashes", "killed"),
    [
        ("failed", "AssertionError", False, True),
        ("leaked", "", False, True),
        ("failed", "SubjectCrashed", False, False),
        ("failed", "SubjectCrashed", True, True),
        ("harness_error", "TargetError", False, False),
        ("unsupported", "", False, False),
        ("passed", "", False, False),
    ],
)
def test_only_a_failure_or_a_leak_kills_and_a_crash_where_it_is_meant(
    verdict, failure, crashes, killed
):
    assert kills(case("TOY-001", verdict, failure=failure), crashes=crashes) is killed


def test_of_each_clause_the_cases_are_run_until_one_kills(tried, tmp_path):
    meant = mutant(tmp_path, "meant", ["TOY-001", "TOY-002"], crashes=True)
    assert tried(meant) == [
        [("TOY-001[a]", "passed"), ("TOY-001[b]", "failed"), ("TOY-002[a]", "leaked")]
    ]


def test_a_crash_that_is_not_meant_does_not_end_the_search(tried, tmp_path):
    rotten = mutant(tmp_path, "rotten", ["TOY-001"])
    assert tried(rotten) == [
        [("TOY-001[a]", "passed"), ("TOY-001[b]", "failed"), ("TOY-001[c]", "passed")]
    ]


def test_what_one_mutant_left_is_not_there_for_the_next(tried, tmp_path):
    first, second = (mutant(tmp_path, name, ["TOY-002"]) for name in ("first", "second"))
    # Had the first one's directory been there, the case would have failed, and found no leak.
    assert tried(first, second) == [[("TOY-002[a]", "leaked")]] * 2


def test_the_same_case_is_run_anew_for_each_mutant(tried, tmp_path):
    one, other = (mutant(tmp_path, name, ["TOY-001"], crashes=True) for name in ("one", "other"))
    first, second = tried(one, other)
    assert first == second == [("TOY-001[a]", "passed"), ("TOY-001[b]", "failed")]


def test_a_case_of_a_profile_that_the_mutant_does_not_claim_is_not_run(tried, tmp_path):
    assert tried(mutant(tmp_path, "other", ["TOY-004"])) == [[]]


def test_a_judge_that_dies_is_told_with_its_exit_status(tried, tmp_path):
    with pytest.raises(TrialError, match="exit status 7"):
        tried(mutant(tmp_path, "deadly", ["TOY-003"]))
