"""Run a test's body in a mount namespace of its own, which goes away with it, whatever it mounts.

As root the namespace is the host's root's, unless ``rootless`` is asked for: then it belongs to a
user namespace with one id mapped, which is also what an ordinary user gets.
"""

import functools
import os
import pickle
import signal
import subprocess
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

import pytest

from layerfs import syscalls

ROOT = Path(__file__).resolve().parents[2]
IS_ROOT = os.geteuid() == 0

needs_root = pytest.mark.skipif(not IS_ROOT, reason="needs root: the host's own mount privileges")


def both_ways(test):
    """Run an isolated test as the host's root (if we are) and in a user namespace."""
    privileged = pytest.param(False, marks=needs_root, id="root")
    return pytest.mark.parametrize("rootless", [privileged, pytest.param(True, id="rootless")])(
        isolated(test)
    )


def isolated(test):
    """Run the test in a child process, in a private mount namespace."""

    @functools.wraps(test)
    def outside(*args, **kwargs):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _inside(writer, lambda: test(*args, **kwargs), rootless=kwargs.get("rootless"))
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            told = stream.read()
        _, status = os.waitpid(child, 0)
        assert told, f"the test's process died: wait status {status}"
        outcome, text = pickle.loads(told)
        if outcome == "skipped":
            pytest.skip(text)
        if outcome == "failed":
            pytest.fail(text, pytrace=False)

    return outside


def _inside(writer, body, *, rootless):
    # os._exit: nothing of pytest's own is to run a second time in the child.
    told = ("passed", "")
    try:
        try:
            enter_namespace(rootless=not IS_ROOT or bool(rootless))
        except OSError as error:
            pytest.skip(f"this host gives us no namespace of our own: {error}")
        body()
    except pytest.skip.Exception as skipped:
        told = ("skipped", str(skipped))
    except BaseException:  # noqa: BLE001 - it is handed on, as text
        told = ("failed", traceback.format_exc())
    with os.fdopen(writer, "wb") as stream:
        stream.write(pickle.dumps(told))
    os._exit(0)


def enter_namespace(*, rootless):
    uid, gid = os.geteuid(), os.getegid()
    if rootless:
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    else:
        syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)


@contextmanager
def process(code, *args, unshare=()):
    """Run Python code, which prints a line when it is ready, and then waits; kill it at the end."""
    script = f"import sys, os, mmap\n{code}\nprint('ready', flush=True)\nsys.stdin.read()"
    argv = [*unshare, sys.executable, "-c", script, *map(str, args)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", text=True
    ) as child:
        try:
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.send_signal(signal.SIGKILL)


def reaped(pid):
    """Wait until the process is gone with all that it held."""
    os.waitpid(pid, 0)
