import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.packages import BenchError
from benchmarks.zfs.session import Session, Store, started

#: Answers each request with what it was, refuses "bad", and dies of "die".
SCRIPT = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if asked["verb"] == "die":
        sys.exit(1)
    if asked["verb"] == "bad":
        print(json.dumps({"id": 0, "status": 10, "error": {"code": "layer-not-found"}}), flush=True)
    else:
        print(json.dumps({"id": 0, "status": 0, "response": asked}), flush=True)
"""


@pytest.fixture
def asked():
    words = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Session(process)


def test_a_request_is_timed_and_answered(asked):
    took, told = asked.timed("list", store="/s")
    assert took > 0
    assert (told["verb"], told["request"]) == ("list", {"store": "/s"})


def test_a_refusal_is_an_error_with_its_code(asked):
    with pytest.raises(BenchError, match=r"refuses bad.*layer-not-found"):
        asked.timed("bad")


def test_a_session_that_dies_is_told(asked):
    with pytest.raises(BenchError, match="ended at die"):
        asked.timed("die")


def test_a_stack_is_of_the_images_layers_and_those_that_are_given(asked, monkeypatch):
    requests = []
    real = asked.timed
    monkeypatch.setattr(asked, "timed", lambda *a, **k: requests.append((*a, k)) or real(*a, **k))
    Store(asked, Path("/s"), ["a", "b"]).stack(Path("/t"), "c", writable=True)
    told = {"store": "/s", "digests": ["a", "b", "c"], "target": "/t", "writable": True}
    assert requests == [("stack", told)]


TRACE = """\
12 clone3({flags=CLONE_VM|CLONE_VFORK|CLONE_CLEAR_SIGHAND, exit_signal=SIGCHLD}, 88) = 13
12 clone3({flags=CLONE_VM|CLONE_FS|CLONE_THREAD|CLONE_SYSVSEM}, 88) = 14
12 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD <unfinished ...>
13 +++ exited with 0 +++
12 <... clone resumed>, child_tidptr=0x7f) = 15
15 vfork() = 16
"""


def test_processes_are_counted_once_and_threads_not_at_all():
    assert started(TRACE) == 3
    assert started("") == 0
