import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from harness import schemas
from harness.cli import INTERRUPTED, NOT_SO, USAGE
from harness.results import write

from . import toy
from .outcomes import case, results


def cli(*words, cwd=None, env=None):
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *map(str, words)],
        env=toy.environment(COLUMNS="120", **(env or {})),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


#: Runs the toy suite instead of the real one, through the same command line.
TOY_RUN = """
import sys
from pathlib import Path
from harness import cli, runner
request, folder = runner.Request, Path(sys.argv[1])
runner.Request = lambda **fields: request(**fields, folder=folder)
sys.argv = ["layerfs-conformance", "run", *sys.argv[2:]]
cli.main()
"""


def toy_run(made, *words, env=None, **options):
    command = [sys.executable, "-c", TOY_RUN, str(made.suite), "--subject", str(made.subject)]
    command += ["--output", str(made.output), *words]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(
        command, env=toy.environment(COLUMNS="120", **(env or {})), text=True, **options
    )


def finished(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


FAILS = '''
@clause("TOY-002")
@pytest.mark.parametrize("way", ["\\x1b[31m", "plain"])
def test_fails(store, way):
    """A case fails."""
    assert way == "plain", "bad: " + way + " [bold]markup[/bold]"
'''
HANGS = '''
@clause("TOY-003")
@pytest.mark.timeout(1)
def test_hangs(host):
    """A case hangs."""
    host.run(["sleep", "100"], timeout=200)
'''
CORE = toy.TOML.replace('"core", "hostile"', '"core"')


def test_a_conformant_subject_ends_in_zero_with_all_reports(tmp_path):
    made = toy.make(tmp_path, toy.PASSES, toml=CORE)
    status, out, err = finished(toy_run(made, "-n", "0"))
    assert (status, err) == (0, "")
    assert "toy 7.1 is conformant" in out
    assert "1 case of 1 clause in" in out
    assert "of the cases' time" in out
    assert str(made.output / "index.html") in out
    names = sorted(path.name for path in made.output.iterdir())
    assert names == ["index.html", "junit.xml", "results.json"]


def test_a_failure_is_told_in_one_safe_line_and_ends_in_one(tmp_path):
    made = toy.make(tmp_path, toy.PASSES, FAILS, toml=CORE)
    status, out, _ = finished(toy_run(made, "-n", "2"))
    assert status == NOT_SO
    assert "toy 7.1 is not conformant" in out
    line = next(line for line in out.splitlines() if line.startswith("✗ failed"))
    assert r"bad: \x1b[31m [bold]markup[/bold]" in line
    assert "\x1b" not in out


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_case_that_hangs_is_ended_and_told(tmp_path, workers):
    made = toy.make(tmp_path, toy.PASSES, HANGS, toml=CORE)
    status, out, _ = finished(toy_run(made, "-n", workers))
    assert status == NOT_SO
    line = next(line for line in out.splitlines() if line.startswith("✗ failed"))
    assert "TOY-003" in line
    assert "the case did not end within 1 s" in line


def test_a_terminal_gets_a_bar(tmp_path):
    made = toy.make(tmp_path, toy.PASSES, toml=CORE)
    ours, theirs = pty.openpty()
    process = toy_run(made, "-n", "0", stdout=theirs, stderr=theirs, env={"TERM": "xterm"})
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # EIO: the other side has closed
            break
        said += part
    os.close(ours)
    assert process.wait(60) == 0
    assert b"1/1" in said
    assert "━".encode() in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--subject", "nobody"], "nobody: neither a subject nor a folder"),
        (["--target", "moon"], "unknown target 'moon'; known targets: local"),
        (["--profile", "zfs"], "toy does not claim the profile 'zfs'"),
        (["--image", "/"], "/: not an OCI image layout"),
    ],
)
def test_wrong_usage_is_one_line_and_ends_in_two(tmp_path, words, said):
    made = toy.make(tmp_path, toy.PASSES)
    status, out, err = finished(toy_run(made, *words))
    assert (status, out) == (USAGE, "")
    assert err.startswith("layerfs-conformance: ")
    assert said in err
    assert err.count("\n") == 1


def test_garbage_in_subject_toml_is_one_line_and_ends_in_two(tmp_path):
    made = toy.make(tmp_path, toy.PASSES, toml="protocol = 1\nname = [")
    status, out, err = finished(toy_run(made))
    assert (status, out, err.count("\n")) == (USAGE, "", 1)
    assert f"{made.subject}/subject.toml: not TOML" in err


def test_a_subject_that_cannot_be_started_is_one_line(tmp_path):
    made = toy.make(tmp_path, toy.PASSES, toml=CORE.replace("{python}", "/no/such/program"))
    status, out, err = finished(toy_run(made))
    assert (status, out, err.count("\n")) == (USAGE, "", 1)
    assert "cannot start '/no/such/program'" in err


def test_a_subject_that_does_not_answer_is_one_line(tmp_path):
    made = toy.make(tmp_path, toy.PASSES)
    status, out, err = finished(toy_run(made, env={"TOY": "dumb"}))
    assert (status, out, err.count("\n")) == (NOT_SO, "", 1)
    assert "the subject does not answer 'info'" in err


def test_an_interrupted_run_keeps_what_it_has_and_leaves_nothing_running(tmp_path):
    waits = '''
@clause("TOY-002")
def test_waits(host):
    """A case takes its time."""
    import pathlib
    pathlib.Path(os.environ["TOY_STARTED"]).touch()
    host.run(["sleep", "100"], timeout=200)
'''
    made = toy.make(tmp_path, toy.PASSES, waits, toml=CORE)
    started = tmp_path / "started"
    with toy_run(made, "-n", "0", env={"TOY_STARTED": str(started)}) as process:
        deadline = time.monotonic() + 60
        while not started.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        status, out, _ = finished(process)
    assert status == INTERRUPTED
    assert "not conformant: the run was interrupted" in out
    assert not made.results().complete
    assert made.case("TOY-001").verdict == "passed"


def test_list_tells_all_clauses():
    done = cli("list", "--format", "json")
    assert done.returncode == 0, done.stderr
    clauses = json.loads(done.stdout)
    assert len(clauses) >= 60
    assert all(one["requirement"] and one["source"] and one["cases"] for one in clauses)
    shown = cli("list").stdout
    assert f"{len(clauses)} clauses" in shown


def test_explain_tells_a_clause_and_how_its_cases_last_ended(tmp_path):
    clause = next(one for one in json.loads(cli("list", "--format", "json").stdout))
    ended = case(clause["cases"][0], "failed", message="it was not so\nmore")
    write(results(ended), tmp_path / "results.json")
    done = cli("explain", clause["id"].lower(), "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert clause["requirement"] in " ".join(done.stdout.split())
    assert clause["source"] in done.stdout
    assert "failed  it was not so" in done.stdout
    without = cli("explain", clause["id"], "--output", tmp_path / "nowhere").stdout
    assert "last result:" in without


def test_an_unknown_clause_is_wrong_usage():
    done = cli("explain", "WHT-999")
    assert done.returncode == USAGE
    assert "there is no clause WHT-999" in " ".join(done.stderr.replace("│", " ").split())


def test_subjects_are_listed():
    done = cli("subjects")
    assert done.returncode == 0, done.stderr
    assert "layerfs" in done.stdout
    assert "core" in done.stdout


def test_doctor_ends_well_exactly_where_the_local_target_runs():
    done = cli("doctor")
    local = next(line for line in done.stdout.splitlines() if "local target" in line)
    assert done.returncode == (0 if local.startswith("✓") else NOT_SO), done.stdout


@pytest.mark.parametrize("which", schemas.SCHEMAS)
def test_schema_prints_what_is_checked_in(which):
    assert cli("schema", which).stdout == schemas.text(which)


def test_an_unknown_mutant_is_one_line():
    done = cli("mutants", "nobody")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (USAGE, "", 1)
    assert "no mutant 'nobody'" in done.stderr


def test_help_teaches_every_command():
    done = cli("--help")
    assert done.returncode == 0
    for command in ("run", "list", "explain", "subjects", "doctor", "mutants", "report", "compare",
                    "bundle", "verify-bundle", "subject", "schema"):  # fmt: skip
        assert re.search(rf"\b{command}\b", done.stdout), command
    assert "layerfs-conformance" in cli("--version").stdout
