"""Kill a process at each of its system calls that change something.

strace delivers SIGKILL at the entry of the n-th call of a kind, for each kind and each n, until the
operation gets through: the boundaries are found by running, not listed.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import traceback
import warnings

import pytest

#: System calls that change a disk or a mount, as this program and SQLite use them.
CALLS = [
    "mkdir", "mkdirat", "rename", "renameat", "unlink", "rmdir", "unlinkat", "link", "symlinkat",
    "mknodat", "write", "pwrite64", "fsync", "fdatasync", "syncfs", "ftruncate", "fchmod", "flock",
    "fsmount", "move_mount", "umount2",
]  # fmt: skip

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace, to kill at a given system call"
)

_PR_SET_PTRACER = 0x59616D61


def killed_everywhere(operation, *, before, after, calls=CALLS):
    """Run the operation again and again, killed a call later each time; judge after each death.

    ``before()`` prepares, ``after(where, died)`` judges. Returns the number of deaths.
    """
    deaths = 0
    for call in calls:
        nth, died = 0, True
        while died:
            nth += 1
            prepared = before()
            died = killed_at(call, nth, lambda prepared=prepared: operation(prepared))
            deaths += died
            after(f"{call} {nth}", died=died)
    return deaths


def killed_at(call, nth, operation):
    """Run the operation in a child, killed at its ``nth`` such call; False if it got through."""
    go_reader, go_writer = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns where other threads run; the child touches nothing of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(go_writer)
        # Where Yama restricts ptrace to parents: strace is a sibling of ours.
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1 & (2**64 - 1)), 0, 0, 0)
        status = 1
        try:
            os.read(go_reader, 1)
            operation()
            status = 0
        except BaseException:  # noqa: BLE001 - shown, and told by the status
            traceback.print_exc()
        os._exit(status)
    os.close(go_reader)
    # "?": not every architecture has every call.
    argv = ["strace", "-f", "-o", "/dev/null", "-p", str(child)]
    argv += ["-e", f"trace=?{call}", "-e", f"inject=?{call}:signal=KILL:when={nth}"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as tracer:
        said = tracer.stderr.readline()
        assert "attached" in said, said
        os.write(go_writer, b"!")
        os.close(go_writer)
        _, status = os.waitpid(child, 0)
        tracer.stderr.read()
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, f"failed by itself at {call} {nth}"
    return False
