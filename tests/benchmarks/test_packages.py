import pytest

from benchmarks import packages
from benchmarks.packages import BenchError, Recipe, newest


def test_the_newest_package_that_can_be_downloaded_is_taken(monkeypatch):
    names = ["golang-1.9-src", "golang-1.19-src", "golang-1.22-src", "golang-1.22-doc"]

    def policy(argv):
        return "Candidate: (none)" if argv[-1] == "golang-1.22-src" else "Candidate: 1"

    monkeypatch.setattr(packages, "run", policy)
    assert newest(r"golang-1\.\d+-src", names) == "golang-1.19-src"
    assert newest(r"rust-src", names) is None


def unpacking(monkeypatch, sizes):
    """Each package unpacks to files of these sizes in bytes, apart from all others' names."""
    monkeypatch.setattr(packages, "newest", lambda pattern, _names: pattern)
    run = packages.run
    monkeypatch.setattr(packages, "run", lambda argv: "" if argv[0] == "apt-cache" else run(argv))

    def unpack(name, tree):
        for number, size in enumerate(sizes[name]):
            (tree / f"{name}-{number}").write_bytes(bytes(size))
        return f"{name}=1"

    monkeypatch.setattr(packages, "_unpack", unpack)


def quiet(_text):
    """Tell nobody."""


def test_packages_are_taken_until_there_are_files_enough(monkeypatch, tmp_path):
    unpacking(monkeypatch, {"a": [1, 1], "b": [1], "c": [1]})
    taken = packages.make(Recipe(("a", "b", "c"), files=3, size=0), tmp_path / "tree", quiet)
    assert taken == ["a=1", "b=1"]


def test_what_is_smaller_than_the_least_is_left_out(monkeypatch, tmp_path):
    unpacking(monkeypatch, {"a": [5, 50], "b": [60]})
    recipe = Recipe(("a", "b"), files=0, size=100, least=10)
    assert packages.make(recipe, tmp_path / "tree", quiet) == ["a=1", "b=1"]
    assert sorted(path.name for path in (tmp_path / "tree").iterdir()) == ["a-1", "b-0"]


def test_too_few_packages_are_an_error_that_says_what_there_is(monkeypatch, tmp_path):
    unpacking(monkeypatch, {"a": [1]})
    with pytest.raises(BenchError, match=r"1 files, 1 bytes from a=1; run 'apt-get update'"):
        packages.make(Recipe(("a",), files=2, size=0), tmp_path / "tree", quiet)


def test_a_failed_command_says_its_words_status_and_last_lines():
    with pytest.raises(BenchError, match=r"sh -c echo no >&2; exit 3 … ended with 3:\nno"):
        packages.run(["sh", "-c", "echo no >&2; exit 3"])


def test_a_missing_command_is_named():
    with pytest.raises(BenchError, match="no-such-command is missing"):
        packages.run(["no-such-command"])
