import shutil

import pytest

from harness.config import CONFORMANCE
from harness.exits import NOT_SO, USAGE
from harness.results import load

from .test_cli import cli

#: One case of one clause, which the mutant of it fails.
MUTANT = CONFORMANCE / "mutants" / "whiteouts-at-the-top-only"
ONE = ("-n", "0", "-k", "WHT-001 and d/a")


@pytest.fixture
def dumb(tmp_path):
    """A subject that does not start."""
    folder = tmp_path / "dumb"
    folder.mkdir()
    (folder / "subject.toml").write_text(
        'protocol = 1\nname = "dumb"\nprofiles = ["core"]\n[command]\nargv = ["/no/such/program"]\n'
    )
    return folder


def test_each_subject_has_its_run_and_the_page_has_all(tmp_path):
    done = cli("matrix", "layerfs", MUTANT, *ONE, cwd=tmp_path)
    assert done.returncode == NOT_SO, done.stderr
    made = tmp_path / "build/matrix"
    assert [load(made / "runs" / name).conformant for name in ("layerfs", MUTANT.name)] == [
        True, False,
    ]  # fmt: skip
    assert "2 runs side by side" in (made / "site/index.html").read_text()
    assert sorted(path.name for path in (made / "site/badges").iterdir()) == [
        "1-layerfs-local.svg", "2-whiteouts-at-the-top-only-local.svg",
    ]  # fmt: skip


def test_when_all_are_conformant_it_is_so(tmp_path):
    done = cli("matrix", "layerfs", *ONE, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert f"page: {tmp_path}/out/site/index.html" in done.stdout


def test_what_was_judged_whole_is_kept_when_a_matrix_is_resumed(tmp_path):
    words = ("matrix", "layerfs", *ONE, "--output", tmp_path)
    cli(*words)
    before = (tmp_path / "runs/layerfs/results.json").read_bytes()
    done = cli(*words, "--resume")
    assert done.returncode == 0, done.stderr
    assert "layerfs: kept: layerfs 0.1.0 passed the selected cases" in done.stdout
    assert (tmp_path / "runs/layerfs/results.json").read_bytes() == before
    changed = before.replace(b'"suite_digest": "sha256:', b'"suite_digest": "sha256:0')
    (tmp_path / "runs/layerfs/results.json").write_bytes(changed)
    assert "kept" not in cli(*words, "--resume").stdout


def test_one_that_does_not_start_leaves_the_others_as_they_are(tmp_path, dumb):
    words = ("matrix", dumb, "layerfs", *ONE, "--output", tmp_path / "out")
    stale = tmp_path / "out/runs/dumb/results.json"
    stale.parent.mkdir(parents=True)
    cli("matrix", "layerfs", *ONE, "--output", tmp_path / "before")
    shutil.copy(tmp_path / "before/runs/layerfs/results.json", stale)
    done = cli(*words)
    assert done.returncode == NOT_SO
    assert "/no/such/program" in done.stderr
    assert not stale.exists()
    assert load(tmp_path / "out/runs/layerfs").conformant


def test_two_of_one_name_are_refused(tmp_path):
    done = cli("matrix", "layerfs", CONFORMANCE / "subjects/layerfs", cwd=tmp_path)
    assert done.returncode == USAGE
    assert "two subjects are called layerfs" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_subject_is_told_before_anything_is_run(tmp_path):
    done = cli("matrix", "layerfs", "nobody", cwd=tmp_path)
    assert done.returncode == USAGE
    assert "nobody: neither a subject nor a folder" in done.stderr
    assert list(tmp_path.iterdir()) == []
