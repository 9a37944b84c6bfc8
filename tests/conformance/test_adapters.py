"""What the adapters of other implementations share: the protocol, images, targets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import config
from harness.answers import judge
from harness.protocol import VERBS

ADAPTER = Path(__file__).resolve().parents[2] / "conformance" / "subjects" / "adapter"
PROGRAM = """
from protocol import Refusal, program, serve

def remove(request):
    raise Refusal("layer-in-use", "two\\nlines", holder="a view")

def get(request):
    program(["sh", "-c", "echo $0 >&2; exit 3", request["digest"]], [("sha256", "layer-not-found")])

def add(request):
    program(["false"], [("no such words", "layer-not-found")])

serve({"list": lambda request: {"layers": []}, "remove": remove, "get": get, "add": add})
"""
DIGEST = "sha256:" + "0" * 64
STORE = {"store": "/s"}


def run(*words, stdin):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        input=stdin.encode(),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ADAPTER)},
        check=False,
    )


def called(verb, request):
    done = run("call", verb, stdin=json.dumps(request))
    return done.returncode, json.loads(done.stdout or "null")


def test_a_response_is_printed():
    assert called("list", STORE) == (0, {"layers": []})


@pytest.mark.parametrize(
    ("verb", "request_"),
    [
        ("list", []),
        ("list", {}),
        ("list", {"store": "s"}),
        ("list", {"store": 7}),
        ("list", {**STORE, "more": 1}),
        ("add", {**STORE, "path": "/p", "size": "1"}),
        ("add", {**STORE, "path": "/p", "size": True}),
        ("add", {**STORE, "path": "/p", "digest": ""}),
        ("remove", {**STORE, "digest": "sha256:" + "A" * 64}),
    ],
)
def test_a_request_that_is_not_the_protocols_is_refused(verb, request_):
    status, answer = called(verb, request_)
    assert (status, answer["error"]["code"]) == (10, "validation-error")


def test_a_refusal_has_its_facts_on_one_line():
    status, answer = called("remove", {**STORE, "digest": DIGEST})
    assert status == 10
    assert answer["error"] == {
        "code": "layer-in-use",
        "message": "two lines",
        "holder": "a view",
    }


def test_a_complaint_is_a_refusal_where_it_is_known_and_else_a_crash():
    status, answer = called("get", {**STORE, "digest": DIGEST})
    assert (status, answer["error"]["code"]) == (10, "layer-not-found")
    assert called("add", {**STORE, "path": "/p"}) == (1, None)


def test_what_is_not_offered_is_unsupported():
    for verb in ("levitate", *sorted(set(VERBS) - {"list", "remove", "get", "add"})):
        status, answer = called(verb, STORE)
        assert (status, answer["error"]["code"]) == (11, "unsupported")


def test_a_session_answers_line_by_line_and_outlives_a_refusal():
    asked = [("list", STORE), ("remove", {**STORE, "digest": DIGEST}), ("list", STORE)]
    lines = [
        json.dumps({"id": number, "verb": verb, "request": request})
        for number, (verb, request) in enumerate(asked)
    ]
    done = run("session", stdin="\n".join(lines) + "\n")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [(one["id"], one["status"]) for one in answers] == [(0, 0), (1, 10), (2, 0)]


def test_the_answers_are_those_that_the_suite_takes():
    done = run("call", "list", stdin=json.dumps(STORE))
    facts = {"status": done.returncode, "stdout": done.stdout, "stderr": done.stderr}
    assert judge("list", STORE, frozenset(), **facts).layers == ()


@pytest.mark.parametrize(
    "name", [path.parent.name for path in sorted(config.SUBJECTS.glob("*/subject.toml"))]
)
def test_every_subject_can_be_loaded_and_names_what_it_uploads(name):
    subject = config.resolve(name)
    assert subject.name == name
    for path in subject.install.upload:
        assert (subject.directory / path).exists()


def test_what_shows_a_defect_without_the_suite_is_there():
    scripts = [
        line.removeprefix("sh ")
        for subject in config.subjects()
        for failure in subject.expected_failures
        if (line := failure.shown_by or "").startswith("sh ")
    ]
    assert len(set(scripts)) >= 3
    for script in scripts:
        done = subprocess.run(
            ["sh", "-n", config.CONFORMANCE.parent / script], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
