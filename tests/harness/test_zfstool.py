from __future__ import annotations

import errno
import sys

import pytest

from harness import zfstool


def python(code):
    return sys.executable, "-c", code


def test_a_command_gives_its_output_and_takes_its_input():
    code = "import os, sys; print(sys.stdin.read() + os.environ['LC_ALL'], end='')"
    assert zfstool.run(*python(code), stdin="in ") == "in C"


def test_a_refusal_has_the_command_and_its_own_words():
    code = "import sys; print('cannot create:\\n  out of space', file=sys.stderr); sys.exit(1)"
    with pytest.raises(OSError, match=r"cannot create:; out of space$") as caught:
        zfstool.run(*python(code))
    assert caught.value.errno is None
    assert caught.value.strerror.startswith(f"{sys.executable} -c ")


def test_without_words_the_status_is_told():
    with pytest.raises(OSError, match=r"status 3$"):
        zfstool.run(*python("raise SystemExit(3)"))


def test_a_command_that_is_not_there_is_told():
    with pytest.raises(OSError, match="no-such-zfs: No such file"):
        zfstool.run("no-such-zfs")


def test_a_command_that_does_not_end_is_killed():
    with pytest.raises(OSError, match=r"not done in 0\.2 s") as caught:
        zfstool.run(*python("import time; time.sleep(60)"), timeout=0.2)
    assert caught.value.errno == errno.ETIMEDOUT


def test_two_commands_run_side_by_side():
    one = zfstool.Running(python("print(input())"))
    two = zfstool.Running(python("print(2)"))
    assert two.text() == "2\n"
    assert one.text("1\n") == "1\n"
