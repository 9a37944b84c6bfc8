from __future__ import annotations

import json

import pytest

from harness import answers
from harness.errors import (
    BadAnswer,
    Refused,
    SubjectBrokePromise,
    SubjectCrashed,
    Unsupported,
)
from harness.protocol import InfoResponse, RemoveResponse

INFO = {"name": "toy", "version": "1", "protocol": 1}


def judge(status, answer, verb="info", request=None, *, declared=(), stderr=b""):
    stdout = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return answers.judge(
        verb, request or {}, frozenset(declared), status=status, stdout=stdout, stderr=stderr
    )


def error(code="path-error", **facts):
    return {"error": {"code": code, "message": "m", **facts}}


def test_a_response_becomes_its_model():
    assert judge(0, INFO) == InfoResponse(name="toy", version="1", protocol=1)
    assert judge(0, {"removed": True, "more": 1}, "remove") == RemoveResponse(removed=True)


def test_a_verb_without_a_model_is_answered_as_it_is():
    assert judge(0, {"any": 1}, "brew-coffee") == {"any": 1}


def test_a_refusal_carries_the_code_and_the_facts():
    with pytest.raises(Refused, match=r"^info: refused with 'path-error': m$") as caught:
        judge(10, error(path="/x", errno="ENOENT"))
    assert caught.value.code == "path-error"
    assert (caught.value.error.path, caught.value.error.errno) == ("/x", "ENOENT")


@pytest.mark.parametrize(
    ("status", "stdout", "message"),
    [
        (0, b"", "exit status 0, but standard output is not one JSON object: it is empty"),
        (10, b"nope", "standard output is not one JSON object: Expecting value at character 0 of"),
        (0, b"[1]", "not one JSON object: a JSON list"),
        (0, b"{}{}", "not one JSON object: Extra data at character 2"),
        (0, b'{"a": NaN}', "not one JSON object: NaN is not JSON"),
        (0, b'{"a": 1, "a": 2}', "not one JSON object: a key is given twice"),
        (0, b'{"a": "\xff"}', "not one JSON object: not UTF-8 at byte 7"),
        (0, b"[" * 200_000, "not one JSON object: nested too deeply"),
        (0, b'{"name": "toy", "version": "1"}', "info: response protocol: Field required"),
        (10, b"{}", "exit status 10, but no valid error object: error: Field required"),
        (10, b'{"error": 1}', "no valid error object: error: "),
        (
            10,
            b'{"error": {"code": "sad", "message": "m"}}',
            "the code 'sad' is not in the protocol's list",
        ),
        (
            10,
            b'{"error": {"code": "path-error", "message": ""}}',
            "no valid error object: error.message: ",
        ),
        (10, json.dumps(error("unsupported")).encode(), "'unsupported' and 11 belong together"),
        (11, json.dumps(error("path-error")).encode(), "'unsupported' and 11 belong together"),
    ],
)
def test_nonsense_is_told_from_everything_else(status, stdout, message):
    with pytest.raises(BadAnswer) as caught:
        judge(status, stdout)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (caught.value.status, caught.value.stdout) == (status, stdout)


@pytest.mark.parametrize(
    ("status", "stderr", "message"),
    [
        (-11, b"", "info: killed by SIGSEGV"),
        (-200, b"", "info: killed by signal 200"),
        (1, b"x\nlast\n\n", "exit status 1, which the protocol does not know; standard error ends"),
        (10, b"Traceback (most recent call last):\n  File\nKeyError: 1\n", "10: 'KeyError: 1'"),
        (0, b"warn\npanic: nil map\n", "a traceback on standard error, with exit status 0"),
        (10, b"thread 'main' panicked at src/main.rs:1\n", "a traceback"),
        (10, b"==7==ERROR: AddressSanitizer: SEGV\n", "a traceback"),
        (11, b'Exception in thread "main" java.lang\n', "a traceback"),
    ],
)
def test_a_crash_never_counts_as_a_refusal(status, stderr, message):
    with pytest.raises(SubjectCrashed) as caught:
        judge(status, error(), stderr=stderr)
    assert message in str(caught.value)


def test_words_that_only_look_like_a_traceback_are_no_crash():
    with pytest.raises(Refused):
        judge(10, error(), stderr=b"cannot panic: Traceback (most recent call last): is a text\n")


@pytest.mark.parametrize(
    ("verb", "request_", "declared"),
    [
        ("merge", {}, []),
        ("stack", {"writable": True}, []),
        ("open", {"readonly": True}, []),
        ("open", {"limits": {"max_ratio": 5}}, []),
        ("open", {"zfs": "pool/dataset"}, []),
        ("add", {"media_type": "application/vnd.oci.image.layer.v1.tar+zstd"}, []),
        ("add", {"digest": "sha512:00"}, []),
        ("add", {"dependencies": ["sha256:00"]}, []),
    ],
)
def test_unsupported_is_accepted_where_the_capability_is_not_declared(verb, request_, declared):
    with pytest.raises(Unsupported, match="not declared: "):
        judge(11, error("unsupported"), verb, request_, declared=declared)


@pytest.mark.parametrize(
    ("verb", "request_", "declared", "promise"),
    [
        ("merge", {}, ["merge"], "declares merge"),
        ("info", {}, [], "every subject must offer it"),
        # Whatever is in the layer: cases with devices ask for the capability.
        ("add", {}, [], "every subject must offer it"),
        ("stack", {}, [], "every subject must offer it"),
        ("open", {"readonly": False}, [], "every subject must offer it"),
        ("open", {"zfs": "pool/dataset"}, ["zfs"], "declares zfs"),
        ("stack", {"writable": True}, ["writable"], "declares writable"),
    ],
)
def test_unsupported_of_what_is_declared_is_a_broken_promise(verb, request_, declared, promise):
    with pytest.raises(SubjectBrokePromise, match=promise):
        judge(11, error("unsupported"), verb, request_, declared=declared)
