import hashlib

from harness import suite


def folders(tmp_path):
    for name in ("conformance/test_x.py", "conformance/mutants/m/mutant.py",
                 "conformance/PROTOCOL.md", "harness/verdict.py", "harness/templates/pytest.ini",
                 "harness/templates/report.css"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
    return tmp_path


def digest(tmp_path):
    return suite.digest_of(suite.files(tmp_path / "conformance", tmp_path / "harness"))


def test_what_decides_verdicts_is_in_the_digest(tmp_path):
    made = folders(tmp_path)
    known = {digest(made)}
    for name in ("conformance/test_x.py", "harness/verdict.py", "harness/templates/pytest.ini"):
        (made / name).write_text("new")
        known.add(digest(made))
    (made / "conformance/test_y.py").write_text("more")
    known.add(digest(made))
    assert len(known) == 5


def test_what_does_not_is_not(tmp_path):
    made = folders(tmp_path)
    before = digest(made)
    for name in ("conformance/mutants/m/mutant.py", "conformance/PROTOCOL.md",
                 "harness/templates/report.css"):  # fmt: skip
        (made / name).write_text("new")
    assert digest(made) == before


def test_the_digest_is_that_of_what_sha256sum_prints(tmp_path):
    made = folders(tmp_path)
    of_old = hashlib.sha256(b"old").hexdigest()
    names = ("conformance/test_x.py", "harness/verdict.py", "harness/templates/pytest.ini")
    lines = "".join(f"{of_old}  {name}\n" for name in names)
    assert digest(made) == f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def test_this_suite_has_one():
    assert suite.digest().startswith("sha256:")
    assert len(list(suite.files())) > 50
    assert {"python", "pytest"} <= suite.environment().keys()
