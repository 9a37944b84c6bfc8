import os

from harness import publish
from harness.results import SubjectInfo, load, write

from .outcomes import case, results


def made(folder, run, **files):
    """Write a run's folder as a run leaves it."""
    folder.mkdir()
    write(run, folder / "results.json")
    for name, text in files.items():
        path = folder / "evidence" / "WHT-001" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return run, folder


def failing(*names, **changes):
    evidence = tuple(f"evidence/WHT-001/{name}.txt" for name in names)
    return results(case(verdict="failed", evidence=evidence), **changes)


def test_all_that_the_page_leads_to_is_in_the_folder(tmp_path):
    runs = [made(tmp_path / "a", failing("failure"), failure="one"),
            made(tmp_path / "b", failing("failure"), failure="two")]  # fmt: skip
    site = tmp_path / "site"
    done = publish.publish(runs, site)
    written = (done.page, done.summary, *done.badges)
    assert [path.relative_to(site).as_posix() for path in written] == [
        "index.html", "summary.md", "badges/1-some-local.svg", "badges/2-some-local.svg",
    ]  # fmt: skip
    page = done.page.read_text()
    for number, text in ((1, "one"), (2, "two")):
        name = f"runs/{number}-some-local/evidence/WHT-001/failure.txt"
        assert f'href="./{name}"' in page
        assert (site / name).read_text() == text
        assert load(site / f"runs/{number}-some-local") == runs[number - 1][0]
    assert done.missing == ()


def test_runs_that_belong_together_are_one_column(tmp_path):
    other = results(case("HST-001", profile="hostile"), profiles=("hostile",))
    runs = [made(tmp_path / "a", results(case())), made(tmp_path / "b", other)]
    done = publish.publish(runs, tmp_path / "site")
    assert [path.name for path in done.badges] == ["1-some-local.svg"]
    assert "side by side" not in done.page.read_text()
    assert "core, hostile" in done.summary.read_text()


def test_evidence_that_is_not_there_is_told_and_not_linked(tmp_path):
    done = publish.publish([made(tmp_path / "a", failing("gone"))], tmp_path / "site")
    assert done.missing == (f"{tmp_path}/a: WHT-001: evidence/WHT-001/gone.txt",)
    assert "gone.txt" not in done.page.read_text()


def test_nothing_is_taken_from_outside_of_the_run(tmp_path):
    (tmp_path / "secret").write_text("secret")
    _, folder = made(tmp_path / "a", failing("x"), x="fine")
    os.symlink(tmp_path, folder / "evidence" / "out")
    os.symlink(tmp_path / "secret", folder / "evidence" / "link")
    names = ("../secret", str(tmp_path / "secret"), "evidence/out/secret", "evidence/link", "", ".")
    hostile = results(case(verdict="failed", evidence=names))
    done = publish.publish([(hostile, folder)], tmp_path / "site")
    assert len(done.missing) == len(names)
    files = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    assert all(path.read_text() != "secret" for path in files)


def test_the_name_of_a_subject_leads_nowhere(tmp_path):
    for name in ("../../up", "..", "/etc"):
        run = failing("x", subject=SubjectInfo(name=name, version="", capabilities=()))
        folder = tmp_path / f"of {len(name)}"
        done = publish.publish([made(folder, run, x="fine")], folder / "site")
        assert [path.parent for path in done.badges] == [folder / "site" / "badges"]
    assert {path.name for path in tmp_path.iterdir()} == {"of 8", "of 2", "of 4"}


def test_publishing_again_in_the_folder_of_a_run_is_harmless(tmp_path):
    run, folder = made(tmp_path / "a", failing("failure"), failure="one")
    for _ in range(2):
        publish.publish([(run, folder)], folder)
    assert load(folder) == run
    assert (folder / "evidence/WHT-001/failure.txt").read_text() == "one"
