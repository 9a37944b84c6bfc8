import json

import pytest

from harness import audit, suite
from harness.bundle import Contents
from harness.catalogue import Entry
from harness.clause import Clause
from harness.results import Selection, SubjectInfo, TargetInfo

from .outcomes import case, results

EVIDENCE = ("evidence/WHT-001/failure.txt", "evidence/WHT-001/transcript.jsonl")
SIZES = dict.fromkeys(EVIDENCE, 9)


def clauses():
    def entry(id_, profile):
        clause = Clause(id_, "MUST", "image-spec layer.md", profile=profile)
        return Entry(clause.described_by("A whiteout hides."), "whiteouts", (id_,), None)

    return {"WHT-001": entry("WHT-001", "core"), "HST-001": entry("HST-001", "hostile")}


def whole(*cases, **changes):
    facts = {
        "suite_digest": suite.digest(),
        "environment": suite.environment(),
        "command": "layerfs-conformance run --subject ./mine",
        "target": TargetInfo(name="local", kernel="6.1", machine="x86_64"),
    }
    bad = case(verdict="failed", evidence=EVIDENCE, message="so")
    return results(*(cases or (bad,)), **facts | changes)


def examined(run, sizes=SIZES, **raw):
    data = {**run.model_dump(mode="json"), **raw}
    return audit.examine(Contents(json.dumps(data).encode(), dict(sizes)), clauses)


def test_a_run_that_is_not_conformant_can_be_complete():
    found = examined(whole())
    assert (found.faults, found.notes) == ((), ())
    assert not found.results.conformant


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"summary": {"passed": "1"}}, "results.json: summary.passed: Input should be a valid int"),
        ({"cases": None}, "results.json: cases: Input should be a valid array"),
        ({"subject": {"name": "x"}}, "results.json: subject.version: Field required"),
    ],
)
def test_what_the_schema_does_not_know_is_named(raw, said):
    found = examined(whole(), **raw)
    assert found.results is None
    assert found.faults[0].startswith(said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"protocol": 2}, "it is of protocol 2, and this suite speaks 1"),
        ({"suite_digest": ""}, "does not say which suite judged"),
        ({"suite_digest": "sha256:1"}, "its suite calls itself 0.1.0, and is not the 0.1.0"),
        ({"complete": False}, "the run was interrupted"),
        ({"command": ""}, "does not say how to run it again"),
        ({"environment": {"python": "3"}}, "(environment: pytest)"),
        ({"started": "yesterday"}, "started is no time with a zone: 'yesterday'"),
        ({"started": "2026-01-01T00:00:00"}, "started is no time with a zone"),
        ({"target": TargetInfo(name="local")}, "what host it ran on (target: kernel, machine)"),
        ({"subject": SubjectInfo(name="x", version="", capabilities=())}, "which version"),
        ({"summary": results(case()).summary}, "summary does not count what cases has"),
        ({"conformant": True}, "it says conformant, and its cases do not"),
    ],
)
def test_each_thing_that_is_amiss_is_one_line(changes, said):
    faults = examined(whole(**changes)).faults
    assert len([line for line in faults if said in line]) == 1, faults
    assert all("\n" not in line for line in faults)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (case(verdict="failed"), "failed without failure.txt, transcript.jsonl in evidence/"),
        (case(verdict="leaked", evidence=EVIDENCE[:1]), "leaked without transcript.jsonl"),
        (case(evidence=("evidence/gone",)), "evidence is not there: evidence/gone"),
        (case(verdict="expected_failure"), "expected failure without a reason and a link"),
        (case(verdict="unsupported"), "unsupported without saying what is lacking"),
        (case("NEW-001"), "this suite has no such case"),
        (case("WHT-001[x]"), "this suite has no such case"),
        (case(level="SHOULD"), "level, profile or requirement are not those of the suite"),
    ],
)
def test_each_case_has_what_its_verdict_needs(one, said):
    faults = examined(whole(one)).faults
    assert [line for line in faults if line.startswith(f"{one.id}: ") and said in line], faults


def test_an_empty_transcript_shows_nothing():
    assert "without transcript.jsonl" in examined(whole(), {**SIZES, EVIDENCE[1]: 0}).faults[0]


def test_the_same_case_twice_is_one_too_many():
    assert "there more than once: WHT-001" in examined(whole(case(), case())).faults


def test_a_case_that_was_left_out_is_missed():
    run = whole(case(), profiles=("core", "hostile"))
    assert "cases of its profiles are missing: HST-001" in examined(run).faults
    narrowed = Selection(profiles=("core", "hostile"), keyword="WHT")
    assert examined(whole(case(), selection=narrowed)).faults == ()


def test_another_version_of_the_suite_is_a_note():
    found = examined(whole(suite_version="0.9", suite_digest="sha256:" + "9" * 64))
    assert found.faults == ()
    assert "judged by suite 0.9 (999999999999)" in found.notes[0]


def test_nothing_that_a_stranger_wrote_steers_a_terminal():
    found = examined(whole(started="\x1b[2J"))
    assert "\x1b" not in "".join(found.faults)
