import json
import os
import signal

import pytest

from harness.protocol import SessionResponse
from layerfs.errors import ValidationError
from layerfs.openstores import Stores
from layerfs.session import decoded, reply

from .command import run, started
from .isolation import isolated
from .recipes import tar

INFO = {"verb": "info", "request": {}}


def line(**fields):
    return json.dumps(fields).encode() + b"\n"


def answers(text):
    found = [json.loads(one) for one in text.splitlines()]
    for one in found:
        SessionResponse.model_validate(one)
    return found


class Session:
    """A running session."""

    def __init__(self):
        self.process = started("session")
        self.last = 0

    def ask(self, verb, **request):
        self.last += 1
        self.process.stdin.write(line(id=self.last, verb=verb, request=request))
        self.process.stdin.flush()
        (answer,) = answers(self.process.stdout.readline())
        assert answer["id"] == self.last
        return answer

    def end(self):
        out, err = self.process.communicate()
        return self.process.returncode, out, err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
            self.process.communicate()


def test_each_line_is_answered_in_order_before_the_next_is_read():
    with Session() as session:
        for _ in range(3):
            answer = session.ask("info")
            assert (answer["status"], answer["response"]["name"]) == (0, "layerfs")
        assert session.end() == (0, b"", b"")


def test_a_session_without_input_ends_at_once():
    assert run("session") == ("", "")


def test_a_refusal_does_not_end_the_session(tmp_path):
    with Session() as session:
        refused = session.ask("list", store=str(tmp_path / "none"))
        assert (refused["status"], refused["error"]["code"]) == (10, "storage-error")
        unsupported = session.ask("nope")
        assert (unsupported["status"], unsupported["error"]["code"]) == (11, "unsupported")
        assert session.ask("info")["status"] == 0


@pytest.mark.parametrize(
    ("sent", "identity"),
    [
        (b"", -1),
        (b"garbage", -1),
        (b"\xff", -1),
        (b"null", -1),
        (b"[1]", -1),
        (b'{"id": 1} {"id": 2}', -1),
        (b'{"verb": "info", "request": {}}', -1),
        (b'{"id": "1", "verb": "info", "request": {}}', -1),
        (b'{"id": true, "verb": "info", "request": {}}', -1),
        (b'{"id": 1.0, "verb": "info", "request": {}}', -1),
        (b'{"id": 7, "verb": "info"}', 7),
        (b'{"id": 7, "request": {}}', 7),
        (b'{"id": 7, "verb": 1, "request": {}}', 7),
        (b'{"id": 7, "verb": "info", "request": []}', 7),
        (b'{"id": 7, "verb": "info", "request": {}, "more": 1}', 7),
        (b'{"id": 7, "id": 8, "verb": "info", "request": {}}', -1),
        (b'{"id": NaN}', -1),
        (b"[" * 100_000, -1),
        (b"1" * 10_000, -1),
    ],
)
def test_a_bad_line_is_refused_under_its_id_where_that_can_be_read(sent, identity):
    answer = reply(Stores(), sent)
    SessionResponse.model_validate(answer)
    assert (answer["id"], answer["status"]) == (identity, 10)
    assert answer["error"]["code"] == "validation-error"
    assert "\n" not in answer["error"]["message"]


def test_bad_lines_do_not_end_the_session():
    out, _ = run("session", stdin=b"garbage\n\n" + line(id=3, **INFO))
    assert [(one["id"], one["status"]) for one in answers(out)] == [(-1, 10), (-1, 10), (3, 0)]


def test_the_last_line_needs_no_newline():
    out, _ = run("session", stdin=line(id=1, **INFO).rstrip())
    assert answers(out)[0]["status"] == 0


@pytest.mark.parametrize("text", [b'{"a": 1, "a": 1}', b"Infinity", b'{"a": -Infinity}', b"", b"{"])
def test_what_is_no_json_is_no_request(text):
    with pytest.raises(ValidationError, match="a request"):
        decoded(text)


def test_names_that_are_not_utf8_come_back_as_they_were_sent(tmp_path):
    blob = os.fsencode(tmp_path) + b"/b\xff"
    with open(blob, "wb") as file:
        file.write(tar({"f": b""}))
    with Session() as session:
        session.ask("open", store=str(tmp_path / "store"))
        added = session.ask("add", store=str(tmp_path / "store"), path=os.fsdecode(blob))
        assert added["status"] == 0
        os.remove(blob)
        missing = session.ask("add", store=str(tmp_path / "store"), path=os.fsdecode(blob))
        assert missing["error"]["path"] == os.fsdecode(blob)


@isolated
def test_what_is_mounted_stays_mounted_when_the_session_ends(tmp_path):
    store, target = str(tmp_path / "store"), str(tmp_path / "view")
    (tmp_path / "blob").write_bytes(tar({"f": b""}))
    with Session() as session:
        session.ask("open", store=store)
        added = session.ask("add", store=store, path=str(tmp_path / "blob"))
        digest = added["response"]["layer"]["digest"]
        assert session.ask("stack", store=store, digests=[digest], target=target)["status"] == 0
        assert session.end() == (0, b"", b"")
    assert os.listdir(target) == ["f"]
    run("unmount", target, "--root", store)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_a_session_without_a_traceback(tmp_path, number):
    with Session() as session:
        session.ask("open", store=str(tmp_path / "store"))
        session.process.send_signal(number)
        status, out, err = session.end()
    assert (status, out) == (128 + number, b"")
    assert err == (b"layerfs: interrupted\n" if number == signal.SIGINT else b"")
    assert os.listdir(tmp_path / "store" / "staging") == []


def test_a_session_whose_reader_has_gone_ends_quietly():
    process = started("session")
    process.stdout.close()
    process.stdin.write(line(id=1, **INFO))
    process.stdin.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()
