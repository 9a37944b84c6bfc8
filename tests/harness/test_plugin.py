import subprocess
import sys

import pytest

from . import toy


def pytest_run(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "harness.plugin", "-p", "no:cacheprovider", *words],
        env=toy.environment(),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_without_a_subject_the_plugin_does_nothing_and_imports_nothing_of_weight(tmp_path):
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_other_project():\n"
        "    heavy = {'pydantic', 'jinja2', 'rich', 'typer', 'harness.protocol', 'harness.judge'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    done = pytest_run("--strict-markers", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "conformance" not in done.stdout
    assert not (tmp_path / "build").exists()


def test_cases_without_a_subject_are_refused_with_the_remedy(tmp_path):
    made = toy.make(tmp_path, toy.PASSES)
    done = pytest_run(str(made.suite), cwd=tmp_path)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "add --subject NAME|DIR" in done.stderr + done.stdout


def test_cases_can_be_collected_without_a_subject(tmp_path):
    made = toy.make(tmp_path, toy.PASSES)
    done = pytest_run("--collect-only", "-q", str(made.suite), cwd=tmp_path)
    assert done.returncode == 0
    assert "test_lists_nothing" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--subject", "nobody"], "nobody: neither a subject nor a folder with subject.toml"),
        (["--target", "moon"], "unknown target 'moon'; known targets: local"),
        (["--profile", "zfs"], "toy does not claim the profile 'zfs'; it claims core, hostile"),
        (["--image", "."], "not an OCI image layout"),
        (["--output", "/proc/nowhere"], "--output /proc/nowhere: No such file"),
    ],
)
def test_a_wrong_option_is_one_line_and_runs_nothing(tmp_path, words, said):
    made = toy.make(tmp_path, toy.PASSES)
    done = pytest_run("--subject", str(made.subject), *words, str(made.suite), cwd=tmp_path)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(errors) == 1, done.stderr
    assert said in errors[0]


def test_a_wrong_subject_toml_is_one_line(tmp_path):
    made = toy.make(tmp_path, toy.PASSES, toml="protocol = 1\nname = 3\n")
    done = pytest_run("--subject", str(made.subject), str(made.suite), cwd=tmp_path)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(errors) == 1, done.stderr
    assert "subject.toml" in errors[0]


def test_two_cases_of_one_id_are_refused(tmp_path):
    again = toy.PASSES.replace("def test_lists_nothing", "def test_again")
    made = toy.make(tmp_path, toy.PASSES, again)
    done = toy.run(made)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "TOY-001 is the id of two" in done.stderr + done.stdout


def test_a_case_without_a_requirement_is_refused(tmp_path):
    made = toy.make(tmp_path, '@clause("TOY-001")\ndef test_mute(store):\n    pass\n')
    done = toy.run(made)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "TOY-001: the case has no docstring" in done.stderr + done.stdout
