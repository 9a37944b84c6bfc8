import io
import os
import tarfile

import pytest

from harness import bundle
from harness.results import write

from .outcomes import case, results

NAME = "evidence/WHT-001/failure.txt"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    (folder / NAME).parent.mkdir(parents=True)
    (folder / NAME).write_text("why")
    (folder / "index.html").write_text("not needed")
    found = results(case(verdict="failed", evidence=(NAME,)))
    write(found, folder / "results.json")
    return found, folder


def test_a_bundle_has_the_results_and_the_evidence_they_name(run, tmp_path):
    bundle.write(*run, tmp_path / "x.tar")
    read = bundle.read(tmp_path / "x.tar")
    assert read.results == (run[1] / "results.json").read_bytes()
    assert read.sizes == {NAME: 3, "results.json": len(read.results)}


def test_a_folder_is_read_like_a_bundle(run):
    read = bundle.read(run[1])
    assert read.results == (run[1] / "results.json").read_bytes()
    assert {NAME, "results.json"} <= read.sizes.keys()


def test_the_same_run_gives_the_same_bytes(run, tmp_path):
    first = bundle.write(*run, tmp_path / "1.tar")
    os.utime(run[1] / NAME, (1, 1))
    os.chmod(run[1] / NAME, 0o600)
    assert bundle.write(*run, tmp_path / "2.tar") == first
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


def test_what_lies_outside_is_not_taken_along(run, tmp_path):
    (tmp_path / "secret").write_text("secret")
    found = results(case(verdict="failed", evidence=("../secret",)))
    bundle.write(found, run[1], tmp_path / "x.tar")
    assert bundle.read(tmp_path / "x.tar").sizes.keys() == {"results.json"}


def archive(path, *members):
    with tarfile.open(path, "w:gz") as file:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(content)
            member.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            file.addfile(member, io.BytesIO(content))


def test_only_ordinary_files_with_plain_names_are_seen(tmp_path):
    archive(
        tmp_path / "x.tgz",
        ("./a/results.json", tarfile.REGTYPE, b"{}"),
        ("a/evidence/link", tarfile.SYMTYPE, b""),
        ("a/../evidence/up", tarfile.REGTYPE, b"x"),
        ("/a/evidence/absolute", tarfile.REGTYPE, b"x"),
        ("a/evidence/fine", tarfile.REGTYPE, b"xy"),
        ("b/evidence/elsewhere", tarfile.REGTYPE, b"x"),
    )
    read = bundle.read(tmp_path / "x.tgz")
    assert (read.results, read.sizes) == (b"{}", {"results.json": 2, "evidence/fine": 2})


def test_what_is_no_bundle_is_one_line(tmp_path):
    (tmp_path / "text").write_text("no archive")
    archive(tmp_path / "empty.tar", ("x", tarfile.REGTYPE, b""))
    (tmp_path / "folder").mkdir()
    for name, said in (
        ("text", "not a tar archive"),
        ("empty.tar", "there is no results.json in it"),
        ("folder", "No such file"),
        ("missing.tar", "No such file"),
    ):
        with pytest.raises(bundle.BundleError, match=f"{name}.*: {said}"):
            bundle.read(tmp_path / name)


def test_what_is_too_much_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "_MOST_BYTES", 1)
    archive(tmp_path / "x.tar", ("results.json", tarfile.REGTYPE, b"{}"))
    with pytest.raises(bundle.BundleError, match="has more than"):
        bundle.read(tmp_path / "x.tar")
    monkeypatch.setattr(bundle, "_MOST_FILES", 0)
    with pytest.raises(bundle.BundleError, match="more than 0 files"):
        bundle.read(tmp_path / "x.tar")
