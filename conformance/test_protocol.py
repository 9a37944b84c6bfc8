"""The protocol itself: how a subject is called, and how it answers, whatever it is asked."""

import json

import pytest

from conformance import model
from conformance.clauses import MUST, clause
from conformance.layers import Dir, File, Layer
from harness.errors import SubjectBrokePromise, Unsupported

A = Layer(Dir("d"), File("d/a"), File("x"))
B = Layer(Dir("d"), File("d/b"), File("x", b"other"))
UNKNOWN = "sha256:" + "0" * 64


@clause("PRO-001", MUST, "PROTOCOL.md, 4: info")
def test_a_subject_says_who_it_is(subject):
    """``info`` tells the subject's name and version, and that it speaks protocol 1."""
    info = subject.raw.call("info")

    assert info.name
    assert info.version
    assert info.protocol == 1
    subject.expect_service()


@clause("PRO-002", MUST, "PROTOCOL.md, 5: a verb that it does not know")
def test_an_unknown_verb_is_unsupported(subject):
    """A verb that the subject does not know is answered with status 11, and the subject goes on."""
    with pytest.raises((Unsupported, SubjectBrokePromise)) as answered:
        subject.raw.send("levitate", {"store": subject.store})
    assert answered.value.status == 11

    assert subject.tree(A) == model.apply(A)


@clause("PRO-003", MUST, "PROTOCOL.md, 4: refused as validation-error, before anything is done")
@pytest.mark.parametrize(
    ("verb", "wrong"),
    [
        ("add", {"levitate": True}),
        ("add", {"path": None}),
        ("add", {"path": "relative"}),
        ("add", {"size": "large"}),
        ("add", {"dependencies": "none"}),
        ("stack", {"digests": "sha256:" + "0" * 64}),
        ("stack", {"writable": "no"}),
        ("list", {"store": "relative"}),
        ("list", {"store": 7}),
        ("get", {"digest": ["sha256:" + "0" * 64]}),
    ],
    ids=[
        "unknown field", "missing field", "relative path", "text for a number", "text for a list",
        "text for digests", "text for a flag", "relative store", "a number for a store",
        "a list for a digest",
    ],
)  # fmt: skip
def test_a_request_that_is_not_of_the_protocol_is_refused(subject, verb, wrong):
    """A request with an unknown, missing or wrong field is refused, and nothing is done."""
    right = {
        "add": {"path": subject.put(B.blob())},
        "stack": {"digests": [subject.add(A)], "target": subject.path("view")},
        "list": {},
        "get": {"digest": A.digest},
    }[verb]
    request = {"store": subject.store, **right, **wrong}
    request = {name: value for name, value in request.items() if value is not None}
    before = subject.digests()

    with subject.refuses("validation-error"):
        subject.raw.send(verb, request)
    assert subject.digests() == before


@clause("PRO-004", MUST, "PROTOCOL.md, 1 and 4: a request is one JSON object")
@pytest.mark.parametrize(
    "request_", [b"", b"{", b"[]", b"null", b"{} {}", b"\xff{}"], ids=lambda data: repr(data)[2:-1]
)
def test_a_request_that_is_no_object_is_refused(subject, host, request_):
    """What is not one JSON object on standard input is refused with status 10."""
    argv, env = subject.command("call", "list")
    right = json.dumps({"store": subject.store}).encode()
    done = host.run(argv, stdin=request_.replace(b"{}", right), env=env)

    assert done.status == 10, done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "validation-error"
    subject.expect_service()


@clause("PRO-005", MUST, "PROTOCOL.md, 1: one process for each call; 2: any process")
def test_each_request_may_go_to_a_process_of_its_own(subject, host):
    """Adding, stacking, listing and unmounting work with one process for each request."""
    each = subject.by("call")
    with each.stacked(A, B) as root:
        assert host.tree(root) == model.apply(A, B)
        assert each.digests() == {A.digest, B.digest}
        with each.refuses("layer-not-found"):
            each.call("get", digest=UNKNOWN)
    assert each.call("remove", digest=A.digest).removed
    assert subject.digests() == {B.digest}


@clause("PRO-006", MUST, "PROTOCOL.md, 1: a session", needs=("session",))
def test_a_refusal_does_not_end_a_session(subject):
    """After any refusal the same process answers further requests."""
    session = subject.by("session")
    with session.raw:
        session.open()
        process = session.raw.session_pid
        for bad in (UNKNOWN, "malformed", ""):
            with session.refuses("layer-not-found", "validation-error"):
                session.call("get", digest=bad)
        assert session.tree(A) == model.apply(A)
        assert session.raw.session_pid == process


@clause("PRO-007", MUST, "PROTOCOL.md, 1: at the end of its input", needs=("session",))
def test_a_session_ends_with_its_input_and_leaves_its_views(subject, host):
    """When its input ends, a session ends with status 0, and its views stay mounted."""
    session = subject.by("session")
    root = session.stack(A, B)
    session.raw.end()

    assert host.tree(root) == model.apply(A, B)
    subject.unmount(root)


@clause("PRO-008", MUST, "PROTOCOL.md, 1: the same requests", needs=("session",))
def test_both_ways_of_calling_give_the_same_answers(subject):
    """A session and a process for each call see one store, and answer alike."""
    session, each = subject.by("session"), subject.by("call")
    with session.raw:
        session.add(A)
        each.add(B)

        asked = [("list", {}), ("get", {"digest": A.digest}), ("get", {"digest": B.digest})]
        for verb, fields in asked:
            assert session.call(verb, **fields) == each.call(verb, **fields)
        assert session.tree(A.digest, B.digest) == model.apply(A, B)


@clause("PRO-009", MUST, "PROTOCOL.md, 1: answered in order", needs=("session",))
def test_one_session_serves_several_stores(subject, subject_at):
    """Stores are told apart: what is added to one is in that one only."""
    other = subject_at("other")
    subject.add(A)
    other.add(B)

    assert (subject.digests(), other.digests()) == ({A.digest}, {B.digest})
    assert subject.tree(A) == model.apply(A)
    with other.refuses("layer-not-found"):
        other.stack(A.digest)
