import json
import re

import pytest

from harness import catalogue, suite
from harness.exits import NOT_SO, USAGE
from harness.results import SubjectInfo, TargetInfo, write

from .outcomes import case, results
from .test_cli import cli


def folder(path, *cases, **changes):
    path.mkdir()
    write(results(*cases, **changes), path / "results.json")
    return path


def complete(path, verdict="passed"):
    """Write a run of one real clause, whole enough to be handed in."""
    clause = catalogue.collect()["WHT-009"].clause
    names = [f"evidence/WHT-009/{name}" for name in ("failure.txt", "transcript.jsonl")]
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("so\n")
    one = case(
        "WHT-009", verdict, profile=clause.profile, level=clause.level,
        requirement=clause.requirement, evidence=names,
    )  # fmt: skip
    run = results(
        one, suite_digest=suite.digest(), environment=suite.environment(),
        command="layerfs-conformance run --subject ./mine --case WHT-009",
        target=TargetInfo(name="local", kernel="6.1", machine="x86_64"),
    )  # fmt: skip
    selection = run.selection.model_copy(update={"cases": ("WHT-009",)})
    write(run.model_copy(update={"selection": selection}), path / "results.json")
    return path


def test_report_names_what_it_wrote(tmp_path):
    folder(tmp_path / "a", case())
    folder(tmp_path / "b", case(verdict="failed", evidence=("evidence/gone",)))
    done = cli("report", "a", "b/results.json", "--output", "both", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.removeprefix(f"{tmp_path}/both/") for line in done.stdout.splitlines()] == [
        "index.html", "summary.md", "badges/1-some-local.svg", "badges/2-some-local.svg",
    ]  # fmt: skip
    assert done.stderr == f"evidence is not there: {tmp_path}/b: WHT-001: evidence/gone\n"
    assert "2 runs side by side" in (tmp_path / "both/index.html").read_text()


def test_report_of_no_results_is_one_line(tmp_path):
    done = cli("report", tmp_path, "--output", tmp_path / "out")
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert re.fullmatch(
        rf"layerfs-conformance: {tmp_path}/results.json: No such file.*\n", done.stderr
    )


def test_compare_ends_in_one_exactly_when_something_is_worse(tmp_path):
    good, bad = folder(tmp_path / "good", case()), folder(tmp_path / "bad", case(verdict="failed"))
    worse = cli("compare", good, bad)
    assert (worse.returncode, worse.stderr) == (NOT_SO, "")
    assert "worse    WHT-001  ✓ passed -> ✗ failed" in worse.stdout
    better = cli("compare", bad, good)
    assert better.returncode == 0
    assert "better   WHT-001" in better.stdout
    assert cli("compare", bad, bad).stdout.splitlines()[-1] == "1 as before"


@pytest.mark.parametrize("form", ["json", "markdown"])
def test_compare_speaks_to_others_too(tmp_path, form):
    good, bad = folder(tmp_path / "good", case()), folder(tmp_path / "bad", case(verdict="failed"))
    done = cli("compare", good, bad, "--format", form)
    assert done.returncode == NOT_SO
    if form == "json":
        assert json.loads(done.stdout)["worse"][0]["id"] == "WHT-001"
    else:
        assert "### worse: 1 case" in done.stdout


def test_compare_refuses_two_subjects_in_one_line(tmp_path):
    other = SubjectInfo(name="other\x1b", version="1", capabilities=())
    done = cli("compare", folder(tmp_path / "a", case()), folder(tmp_path / "b", subject=other))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (USAGE, "", 1)
    assert "runs of two subjects: some and other\\x1b" in done.stderr


@pytest.mark.parametrize("verdict", ["passed", "failed"])
def test_a_bundle_that_was_made_is_verified_and_says_how_to_do_it_again(tmp_path, verdict):
    complete(tmp_path / "run", verdict)
    made = cli("bundle", "mine.tar", "run", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert re.fullmatch(r"sha256:[0-9a-f]{64}  mine\.tar\n", made.stdout)
    done = cli("verify-bundle", "mine.tar", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "complete: 1 case" in done.stdout
    assert "layerfs-conformance run --subject ./mine --case WHT-009 --output" in done.stdout
    assert "layerfs-conformance compare mine.tar build/again" in done.stdout
    assert cli("compare", "mine.tar", "run", cwd=tmp_path).stdout.endswith("1 as before\n")
    assert ("is not conformant" in done.stdout) == (verdict == "failed")


def test_what_is_incomplete_is_neither_bundled_nor_verified(tmp_path):
    complete(tmp_path / "run", "failed")
    (tmp_path / "run/evidence/WHT-009/failure.txt").unlink()
    for words in (("bundle", "mine.tar", "run"), ("verify-bundle", "run")):
        done = cli(*words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (NOT_SO, "")
        assert done.stderr.splitlines() == [
            "incomplete: WHT-009: evidence is not there: evidence/WHT-009/failure.txt",
            "incomplete: WHT-009: failed without failure.txt in evidence/",
        ]
    assert not (tmp_path / "mine.tar").exists()
