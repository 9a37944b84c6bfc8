import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from harness import schemas
from harness.config import CONFORMANCE
from harness.results import (
    SUITE_VERSION,
    ResultsError,
    Selection,
    conformance,
    load,
    steps_of,
    write,
)

from .outcomes import case, results

ROOT = Path(__file__).resolve().parents[2]


def test_the_file_has_what_the_readers_of_results_rely_on(tmp_path):
    write(results(case(), case("WHT-002", "leaked", message="a mount")), tmp_path / "results.json")
    found = json.loads((tmp_path / "results.json").read_text())
    assert {"protocol", "suite_version", "subject", "target", "summary", "cases"} <= found.keys()
    assert found["subject"] == {
        "name": "some", "version": "1", "capabilities": ["merge"], "profiles": [],
        "description": "",
    }  # fmt: skip
    assert found["summary"] == {
        "passed": 1, "failed": 0, "expected_failure": 0, "unexpected_pass": 0, "unsupported": 0,
        "leaked": 1, "harness_error": 0,
    }  # fmt: skip
    assert {"id", "clause", "level", "profile", "verdict", "duration_s", "message"} <= found[
        "cases"
    ][0].keys()


def test_what_is_written_can_be_read_again(tmp_path):
    run = results(case(message="not UTF-8 \udcff"))
    write(run, tmp_path / "results.json")
    assert load(tmp_path) == load(tmp_path / "results.json") == run
    assert run.cases[0].message == "not UTF-8 \\udcff"


def test_what_is_written_holds_to_the_schema_that_is_checked_in():
    schema = json.loads((CONFORMANCE / "results.schema.json").read_text())
    jsonschema.validate(results(case(), case("WHT-002")).model_dump(mode="json"), schema)
    wrong = results(case()).model_dump(mode="json") | {"summary": {"passed": -1}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)


@pytest.mark.parametrize("which", schemas.SCHEMAS)
def test_the_schema_that_is_checked_in_is_that_of_the_models(which):
    path = CONFORMANCE / schemas.file_name(which)
    assert path.read_text() == schemas.text(which), (
        "renew it with: layerfs-conformance schema --write"
    )


def test_the_suite_has_the_version_of_the_distribution():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == SUITE_VERSION


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"{}", "not a results file: subject: Field required"),
        (b"\xff\x00", "not a results file"),
        (b"[]", "not a results file: the file"),
    ],
)
def test_a_file_that_is_no_results_file_is_named_in_one_line(tmp_path, content, said):
    path = tmp_path / "results.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ResultsError, match=said) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "results.json"
    target.mkdir()  # a folder cannot be replaced by a file
    with pytest.raises(OSError, match="directory"):
        write(results(case()), target)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


# --- conformance ---------------------------------------------------------------------------------


def judged(*cases, profiles=("core",), demanded=(), **selection):
    chosen = Selection(profiles=profiles, **selection)
    return conformance(cases, chosen, demanded=demanded)


def test_all_passed_is_conformant():
    assert judged(case(), case("WHT-002", "expected_failure", message="known")) == (True, ())


@pytest.mark.parametrize("verdict", ["failed", "leaked", "unexpected_pass", "harness_error"])
def test_one_bad_verdict_is_not_conformant(verdict):
    conformant, remarks = judged(case(), case("WHT-002", verdict))
    assert not conformant
    assert remarks == (f"not conformant: 1 {verdict.replace('_', ' ')}",)


def test_nothing_run_is_not_conformant():
    assert judged()[0] is False


def test_a_profile_without_an_executed_must_case_is_not_conformant():
    others = case("STK-001", profile="overlay", level="SHOULD")
    conformant, remarks = judged(case(), others, profiles=("core", "overlay"))
    assert not conformant
    assert remarks == ("not conformant: no MUST case of profile overlay was executed",)


def test_a_profile_that_the_subject_declines_throughout_is_not_conformant():
    declined = case(verdict="unsupported", message="the subject does not declare: merge")
    assert judged(declined)[0] is False


def test_a_profile_that_only_the_target_cannot_run_is_not_judged():
    lacks = case("ZFS-001", "unsupported", profile="zfs", message="target: local has no zfs")
    conformant, remarks = judged(case(), lacks, profiles=("core", "zfs"))
    assert conformant
    assert remarks == ("profile zfs is not judged: target: local has no zfs (1 MUST cases)",)


def test_a_profile_that_was_demanded_by_name_must_be_judged():
    lacks = case("ZFS-001", "unsupported", profile="zfs", message="target: local has no zfs")
    assert judged(lacks, case(), profiles=("core", "zfs"), demanded=("zfs",))[0] is False


def test_a_narrowed_run_answers_only_for_what_it_touches_and_says_so():
    conformant, remarks = judged(case(), profiles=("core", "overlay"), keyword="WHT")
    assert conformant
    assert remarks == (
        "narrowed: only the selected cases were judged, not the whole profiles",
    )  # fmt: skip
    assert judged(profiles=("core",), keyword="nothing")[0] is False


def test_an_interrupted_run_says_nothing_of_what_it_did_not_come_to():
    selection = Selection(profiles=("core", "overlay"))
    assert conformance([case()], selection, complete=False) == (
        False, ("not conformant: the run was interrupted",),
    )  # fmt: skip


def test_steps_are_summed_up_and_overhead_is_a_share_of_the_cases_time():
    (back,) = steps_of({"put back": [1.0, 2.0, 9.0]})
    assert (back.name, back.count, back.median_s, back.most_s) == ("put back", 3, 2.0, 9.0)
    cases = case(duration_s=3.0, overhead_s=1.0), case("WHT-002", duration_s=1.0, overhead_s=0.0)
    assert results(*cases).overhead == 0.25
    assert results().overhead == 0
