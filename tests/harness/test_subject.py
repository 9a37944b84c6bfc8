"""Toy subjects, each misbehaving in one way, called through a real local target."""

from __future__ import annotations

import json
import signal
import textwrap
import time
from dataclasses import asdict

import pytest

from harness import config
from harness.errors import (
    BadAnswer,
    ConfigError,
    Refused,
    SubjectBrokePromise,
    SubjectCrashed,
    SubjectTimeout,
    Unsupported,
)
from harness.ledger import difference
from harness.protocol import InfoResponse
from harness.subject import Subject

#: A subject in one file: what it does is its first argument.
TOY = '''
import json, os, signal, subprocess, sys, time

INFO = {"name": "toy", "version": "1", "protocol": 1}
REFUSED = {"code": "layer-not-found", "message": "no such layer", "digest": "sha256:00"}


def misbehave(how, request):
    """Return (status, body, error) or misbehave."""
    if how == "hang":
        subprocess.Popen(["sleep", "1000"])
        time.sleep(1000)
    elif how == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "leave":
        sys.stdout.flush()
        os._exit(3)
    elif how == "flood":
        for _ in range(64):
            os.write(2, b"noise " * 100_000)
    elif how == "refuse":
        return 10, None, REFUSED
    elif how == "traceback":
        sys.stderr.write("Traceback (most recent call last):\\nKeyError: 'x'\\n")
        sys.stderr.flush()
        return 10, None, REFUSED
    elif how == "unknown-code":
        return 10, None, {**REFUSED, "code": "too-bad"}
    elif how == "unsupported":
        return 11, None, {"code": "unsupported", "message": "not here"}
    elif how == "wrong-shape":
        return 0, {"name": "toy"}, None
    elif how == "echo":
        return 0, {**INFO, "name": json.dumps(request)}, None
    elif how == "environment":
        return 0, {**INFO, "name": os.environ["TOY"]}, None
    return 0, INFO, None


def call(how):
    request = json.load(sys.stdin)
    if how == "silent":
        return 0
    if how == "prose":
        print("all is well")
        return 0
    status, body, error = misbehave(how, request)
    print(json.dumps({"error": error} if error else body))
    return status


def session(how):
    for line in sys.stdin:
        asked = json.loads(line)
        if how == "prose":
            print("all is well", flush=True)
            continue
        if how == "wrong-id":
            asked["id"] += 1
        if how == "silent":
            print(json.dumps({"id": asked["id"], "status": 0}), flush=True)
            continue
        status, body, error = misbehave(how, asked["request"])
        answer = {"id": asked["id"], "status": status}
        answer.update({"error": error} if error else {"response": body})
        print(json.dumps(answer), flush=True)
    if how == "chatty":
        print("one more thing", flush=True)
    if how == "bad-end":
        return 7
    if how == "no-end":
        time.sleep(1000)
    return 0


sys.exit(session(sys.argv[1]) if sys.argv[2] == "session" else call(sys.argv[1]))
'''


@pytest.fixture(params=["call", "session"])
def mode(request):
    return request.param


@pytest.fixture
def toy(local_remote, local_host, tmp_path):
    """Make a subject that behaves in the given way, and see that nothing of it remains."""
    (tmp_path / "toy.py").write_text(TOY)
    made = []
    local_host.exists("/")  # its observer is one of the remote's processes from now on
    before = local_remote.pids()

    def make(how, mode="call", timeout=20.0):
        (tmp_path / "subject.toml").write_text(
            textwrap.dedent(f"""
            protocol = 1
            name = "toy"
            profiles = ["core"]
            capabilities = ["session", "merge"]
            [command]
            argv = ["{{python}}", "-I", "-S", "{{dir}}/toy.py", "{how}"]
            env = {{ TOY = "from {{dir}}" }}
            """)
        )
        subject = Subject(local_remote, config.load(tmp_path), mode=mode, timeout=timeout)
        made.append(subject)
        return subject

    yield make
    for subject in made:
        subject.end()
    assert local_remote.pids() == before


def test_a_response_is_a_model(toy, mode):
    subject = toy("well", mode)
    assert subject.call("info") == InfoResponse(name="toy", version="1", protocol=1)
    assert subject.call("info").protocol == 1


def test_a_session_is_one_process_for_many_calls(toy):
    subject = toy("well", "session")
    assert subject.session_pid is None
    subject.call("info")
    first = subject.session_pid
    subject.call("info")
    assert subject.session_pid == first is not None
    subject.end()
    assert subject.session_pid is None


def test_a_session_that_was_let_go_serves_another(toy):
    former = toy("well", "session")
    assert former.let_go() is None
    former.call("info")
    process = former.session_pid
    idle = former.let_go()
    assert former.session_pid is None

    with Subject(former.remote, former.config, session=idle) as subject:
        assert subject.call("info") == InfoResponse(name="toy", version="1", protocol=1)
        assert subject.session_pid == process
        assert len(subject.transcript) == 1


def test_a_session_is_used_only_where_it_is_declared(toy, tmp_path, local_remote):
    toy("well")
    text = (tmp_path / "subject.toml").read_text().replace('"session", ', "")
    (tmp_path / "subject.toml").write_text(text)
    assert Subject(local_remote, config.load(tmp_path), mode="session").mode == "call"


def test_the_request_arrives_as_it_was_given(toy, mode):
    request = {"store": "/store/\udcff ä\n", "more": [1, None]}
    subject = toy("echo", mode)
    subject.send("info", request)
    exchange = subject.transcript[-1]
    assert exchange.request == request
    assert json.loads(json.loads(exchange.stdout)["name"]) == request


def test_a_field_that_is_not_given_is_not_sent(toy):
    subject = toy("echo")
    subject.send("info", {})
    assert subject.call("info").name == "{}"


def test_a_mistake_in_a_request_is_the_callers(toy):
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        toy("well").call("info", store="/x")


def test_the_environment_is_that_of_subject_toml(toy, tmp_path):
    assert toy("environment").call("info").name == f"from {tmp_path}"


def test_a_refusal_carries_its_facts(toy, mode):
    subject = toy("refuse", mode)
    with pytest.raises(Refused, match="refused with 'layer-not-found': no such layer") as caught:
        subject.call("info")
    assert caught.value.error.digest == "sha256:00"
    with pytest.raises(Refused):  # and the session goes on
        subject.call("info")


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("segv", SubjectCrashed, "info: killed by SIGSEGV"),
        ("traceback", SubjectCrashed, "info: a traceback on standard error, with exit status 10"),
        ("unknown-code", BadAnswer, "the code 'too-bad' is not in the protocol's list"),
        ("unsupported", SubjectBrokePromise, "info: unsupported: not here, but every subject"),
        ("wrong-shape", BadAnswer, "info: response version: Field required"),
        ("hang", SubjectTimeout, "info: no answer in 1 s; killed"),
    ],
)
def test_each_misbehaviour_has_its_own_error(toy, mode, how, kind, message):
    subject = toy(how, mode, timeout=1.0 if how == "hang" else 20.0)
    with pytest.raises(kind) as caught:
        subject.call("info")
    assert str(caught.value).startswith(("info", "the")), str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert subject.transcript[-1].failure == f"{kind.__name__}: {caught.value}"


def test_what_is_not_declared_may_be_unsupported(toy, mode):
    subject = toy("unsupported", mode)
    with pytest.raises(Unsupported, match="not declared: stats"):
        subject.call("stats", store="/s")
    with pytest.raises(SubjectBrokePromise, match="declares merge"):
        subject.call("merge", store="/s", digests=())


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("silent", "exit status 0, but standard output is not one JSON object: it is empty"),
        ("prose", "standard output is not one JSON object: Expecting value at character 0"),
    ],
)
def test_a_call_without_json_is_a_bad_answer(toy, how, message):
    with pytest.raises(BadAnswer, match=message):
        toy(how).call("info")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("silent", "info: status 0 without a response"),
        ("prose", "info: not a session's answer: Expecting value at character 0 of 'all is well'"),
        ("wrong-id", "info: the answer has the id 2, the question had 1"),
    ],
)
def test_a_session_out_of_step_is_a_bad_answer_and_is_ended(toy, how, message):
    subject = toy(how, "session")
    with pytest.raises(BadAnswer, match=message):
        subject.call("info")
    assert subject.session_pid is None


def test_an_exit_status_outside_of_the_protocol_is_a_crash(toy, mode):
    with pytest.raises(SubjectCrashed, match="exit status 3, which the protocol does not know"):
        toy("leave", mode).call("info")


def test_a_flood_on_standard_error_neither_blocks_nor_grows(toy, mode):
    subject = toy("flood", mode)
    assert subject.call("info").name == "toy"
    assert len(subject.transcript[-1].stderr) < 10_000


def test_a_hanging_subject_is_killed_with_all_its_children(toy, mode, local_host):
    before = local_host.ledger()
    with pytest.raises(SubjectTimeout):
        toy("hang", mode, timeout=0.5).call("info")
    deadline = time.monotonic() + 5
    while difference(before, local_host.ledger()) and time.monotonic() < deadline:
        pass
    assert difference(before, local_host.ledger()) == []


def test_after_a_crash_the_next_call_has_a_new_session(toy):
    subject = toy("segv", "session")
    for _ in range(2):
        with pytest.raises(SubjectCrashed, match="killed by SIGSEGV"):
            subject.call("info")


def test_an_interrupted_call_does_not_answer_the_next(toy, monkeypatch):
    subject = toy("well", "session")
    subject.call("info")

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(subject._session, "read_line", interrupted)
    with pytest.raises(KeyboardInterrupt):
        subject.call("info")
    assert subject.session_pid is None
    assert subject.call("info").name == "toy"


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("chatty", BadAnswer, "session: said more than it was asked: 'one more thing'"),
        ("bad-end", SubjectCrashed, "session: exit status 7"),
        ("no-end", SubjectTimeout, "session: still there 0.5 s after its input was closed; killed"),
    ],
)
def test_a_session_must_end_well(toy, monkeypatch, how, kind, message):
    monkeypatch.setattr("harness.subject.END_TIMEOUT", 0.5 if how == "no-end" else 10.0)
    subject = toy(how, "session")
    subject.call("info")
    with pytest.raises(kind, match=message):
        subject.end()
    subject.end()  # nothing is left to end


def test_a_call_under_way_can_be_killed(toy):
    pending = toy("hang").begin("info")
    assert pending.pid > 1
    pending.signal(signal.SIGINT)
    with pytest.raises(SubjectCrashed):
        pending.result()


def test_a_call_under_way_can_be_waited_for(toy):
    subject = toy("well")
    pending = [subject.begin("info") for _ in range(3)]
    assert [one.result().name for one in pending] == ["toy"] * 3
    assert len(subject.transcript) == 3


def test_the_transcript_is_evidence_in_json_types(toy, mode):
    subject = toy("refuse", mode)
    with pytest.raises(Refused):
        subject.call("get", store="/s", digest="sha256:00")
    entry = asdict(subject.transcript[0])
    assert entry.pop("duration") < 20
    assert entry.pop("failure") == "Refused: get: refused with 'layer-not-found': no such layer"
    assert "no such layer" in entry.pop("stdout")
    assert entry == {
        "verb": "get",
        "mode": mode,
        "request": {"store": "/s", "digest": "sha256:00"},
        "status": 10,
        "stderr": "",
    }


def test_a_command_that_cannot_be_started_is_a_mistake_of_subject_toml(toy, tmp_path, local_remote):
    toy("well")
    text = (tmp_path / "subject.toml").read_text().replace("{python}", "/no/such/program")
    (tmp_path / "subject.toml").write_text(text)
    subject = Subject(local_remote, config.load(tmp_path))
    with pytest.raises(
        ConfigError,
        match=r"subject\.toml: command\.argv: cannot start '/no/such/program': No such file",
    ):
        subject.call("info")
