"""The command as a process, for the tests of the command line and of sessions."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "layerfs"]


def environment(**variables):
    """The environment of a command: of ours, only what a program needs to start."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"} | variables


def run(*arguments, stdin=b"", status=0, env=None, **options):
    """Run the command to its end, which must have this status and no traceback; its streams."""
    done = subprocess.run(
        [*COMMAND, *map(os.fspath, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        env=environment(**(env or {})),
        **options,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done.stdout.decode(), done.stderr.decode()


def started(*arguments, env=None, **options):
    """Start the command with pipes."""
    return subprocess.Popen(
        [*COMMAND, *map(os.fspath, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**(env or {})),
        **options,
    )
