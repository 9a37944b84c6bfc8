from harness.config import CONFORMANCE
from harness.exits import USAGE

from .test_cli import cli


def test_a_new_subject_is_named_with_what_comes_next(tmp_path):
    done = cli("subject", "new", "my-store", "--language", "shell", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "my-store/subject.toml",
        "my-store/adapter.sh",
        "next: layerfs-conformance run --subject ./my-store -k identity",
    ]


def test_a_subject_that_is_there_is_one_line(tmp_path):
    (tmp_path / "mine").mkdir()
    done = cli("subject", "new", "mine", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (USAGE, "", 1)
    assert "mine: File exists" in done.stderr


def test_the_pages_for_vendors_are_there():
    done = cli("subject", "pages")
    assert done.stdout.splitlines() == [
        str(CONFORMANCE / "PROTOCOL.md"), str(CONFORMANCE / "VENDORS.md"),
    ]  # fmt: skip
    assert all((CONFORMANCE / name).is_file() for name in ("PROTOCOL.md", "VENDORS.md"))
