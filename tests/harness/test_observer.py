from __future__ import annotations

import json
from pathlib import Path

import pytest

import harness
from harness.observer import Observer, answer

FOLDER = Path(harness.__file__).parent


@pytest.fixture(scope="module")
def observer():
    return Observer()


def ask(observer, op, **args):
    told = answer(observer, json.dumps({"id": 7, "op": op, "args": args}).encode())
    assert told.pop("id") == 7
    return json.loads(json.dumps(told))


def test_an_answer_carries_the_result(observer, tmp_path):
    assert ask(observer, "exists", path=str(tmp_path)) == {"result": True}
    assert ask(observer, "write", path=f"{tmp_path}/x", data={"base64": "AP8="}) == {"result": None}
    assert ask(observer, "read", path=f"{tmp_path}/x", offset=1, size=9) == {
        "result": {"base64": "/w=="}
    }


def test_what_the_system_refuses_is_told_with_errno_and_path(observer, tmp_path):
    path = f"{tmp_path}/none"
    told = ask(observer, "tree", path=path)
    assert told == {"errno": [2, "No such file or directory", path]}


@pytest.mark.parametrize(
    ("op", "args", "message"),
    [
        ("brew", {}, "AttributeError: 'Observer' object has no attribute 'brew'"),
        ("tree", {}, "TypeError: "),
        (
            "call",
            {"name": "system", "args": ["id"], "options": {}},
            "ValueError: system is not one",
        ),
        ("call", {"name": "chmod", "args": ["/x", "y"], "options": {}}, "TypeError: "),
    ],
)
def test_a_mistake_of_the_caller_is_told_and_survived(observer, op, args, message):
    assert ask(observer, op, **args)["error"].startswith(message)
    assert ask(observer, "ping")["result"] > 0


def test_calls_take_bytes_and_times(observer, tmp_path):
    path = f"{tmp_path}/file"
    Path(path).write_text("x")
    assert ask(observer, "call", name="utime", args=[path], options={"ns": [5, 6]}) == {
        "result": None
    }
    assert Path(path).stat().st_mtime_ns == 6
    assert ask(observer, "listdir", path=str(tmp_path)) == {"result": ["file"]}


def test_writing_into_a_file_keeps_the_rest(observer, tmp_path):
    path = f"{tmp_path}/file"
    for offset, data in ((None, "QUJDREVG"), (2, "eHg=")):  # ABCDEF, then xx
        ask(observer, "write", path=path, data={"base64": data}, offset=offset)
    assert Path(path).read_bytes() == b"ABxxEF"


def test_usage_counts_an_inode_once(observer, tmp_path):
    (tmp_path / "one").write_bytes(b"x" * 1_000_000)
    once = ask(observer, "usage", path=str(tmp_path))["result"]
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    assert 1_000_000 <= once <= 1_200_000
    assert ask(observer, "usage", path=str(tmp_path))["result"] == once
    assert ask(observer, "disk", path=str(tmp_path))["result"]["free"] > 0
