from __future__ import annotations

import io
import tarfile

import pytest

from harness import config
from harness.errors import ConfigError, TargetError
from harness.install import install, packed
from harness.subject import Subject

TOML = """
protocol = 1
name = "toy"
profiles = ["core"]
[command]
argv = ["{python}", "{dir}/toy.py"]
"""


@pytest.fixture
def far(remote, monkeypatch):
    """A remote of any kind that keeps what is installed below its work directory."""
    monkeypatch.setattr(remote, "installs", f"{remote.workdir}/installed")
    yield remote
    remote.run(["rm", "-r", "-f", remote.installs])


@pytest.fixture
def toy(tmp_path):
    """Return a function that writes a subject and loads it."""

    def make(more="", name="toy", **files):
        folder = tmp_path / "subjects" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "subject.toml").write_text(TOML + more)
        for file, text in files.items():
            (folder / file).write_text(text)
        return config.load(folder)

    return make


def names(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.getnames()


def test_where_the_files_are_here_nothing_is_done(local_remote, toy):
    subject = toy('[install]\nrun = [["false"]]\npackages = ["surely-not"]')
    assert install(local_remote, subject) == str(subject.directory)


def test_the_folder_is_put_on_the_host_whole_and_once(far, toy, monkeypatch):
    subject = toy(data="content")
    directory = install(far, subject)
    assert directory.startswith(f"{far.installs}/")
    assert far.get(f"{directory}/data") == b"content"
    monkeypatch.setattr(far, "put", None)
    assert install(far, subject) == directory


def test_what_has_changed_is_put_beside_it(far, toy):
    first = install(far, toy(data="one"))
    second = install(far, toy(data="two"))
    assert far.get(f"{first}/data") + far.get(f"{second}/data") == b"onetwo"


def test_files_lie_there_as_they_lie_here(toy, tmp_path, far):
    (tmp_path / "package" / "__pycache__").mkdir(parents=True)
    (tmp_path / "package" / "one.py").touch()
    (tmp_path / "package" / "__pycache__" / "one.pyc").touch()
    subject = toy('[install]\nupload = ["../../package"]')
    archive, inside = packed(subject)
    assert inside == "subjects/toy"
    assert names(archive) == [
        "package", "package/one.py", "subjects/toy", "subjects/toy/subject.toml",
    ]  # fmt: skip
    there = far.run(["ls", f"{install(far, subject)}/../../package"])
    assert there.stdout == b"one.py\n"


def test_a_mutant_brings_its_base_and_what_that_uploads(toy, tmp_path):
    (tmp_path / "package").touch()
    toy('[install]\nupload = ["../../package"]\nrun = [["{dir}/x"]]', extra="")
    folder = tmp_path / "mutants" / "broken"
    folder.mkdir(parents=True)
    (folder / "subject.toml").write_text(
        'base = "../../subjects/toy"\n[mutant]\ndescription = "d"\ncatches = ["A-1"]'
    )
    mutant = config.load(folder)
    assert mutant.bases == (tmp_path / "subjects" / "toy",)
    assert mutant.install.run == [["{dir}/../../subjects/toy/x"]]
    archive, inside = packed(mutant)
    assert inside == "mutants/broken"
    assert {"package", "subjects/toy/extra", "mutants/broken/subject.toml"} <= set(names(archive))


def test_the_same_files_make_the_same_archive(toy):
    subject = toy(a="1", b="2")
    before = packed(subject)
    (subject.directory / "a").touch()
    assert packed(subject) == before


def test_commands_are_run_once_and_again_after_a_boot(far, toy):
    count = f"{far.workdir}/count"
    words = ["sh", "-c", f"echo {{python}} {{dir}} >> {count}"]
    subject = toy(f"[install]\nrun = [{words!r}]")
    directory = install(far, subject)
    install(far, subject)
    line = f"{far.python} {directory}\n".encode()
    assert far.get(count) == line
    far.run(["sh", "-c", f"echo another-boot | tee {far.installs}/*.ready"])
    install(far, subject)
    assert far.get(count) == line * 2
    far.run(["rm", count])


def test_a_command_that_fails_is_told_and_tried_again(far, toy):
    subject = toy('[install]\nrun = [["sh", "-c", "echo no room >&2; exit 3"]]')
    for _ in range(2):
        with pytest.raises(
            ConfigError, match=r"install\.run\[0\]: sh ended with status 3: no room"
        ):
            install(far, subject)
    missing = toy('[install]\nrun = [["true"], ["/no/program"]]')
    with pytest.raises(
        ConfigError, match=r"install\.run\[1\]: cannot start '/no/program': No such"
    ):
        install(far, missing)


def test_packages_must_be_there(far, toy):
    with pytest.raises(TargetError, match=r"has not: surely-not, nor-this; install them there"):
        install(far, toy('[install]\npackages = ["surely-not", "nor-this"]'))
    assert far.run(["test", "-e", far.installs]).status != 0


def test_what_is_to_be_uploaded_must_be_there(far, toy):
    with pytest.raises(ConfigError, match=r"install\.upload\[1\]: .*/nothing is not there"):
        install(far, toy('[install]\nupload = ["subject.toml", "nothing"]'))


ANSWER = """
import json, sys
sys.stdin.read()
print(json.dumps({"protocol": 1, "name": "toy", "version": __file__, "capabilities": []}))
"""


def test_a_subject_is_started_where_it_was_put(far, toy):
    subject = toy(**{"toy.py": ANSWER})
    directory = install(far, subject)
    asked = Subject(far, subject, mode="call", directory=directory)
    assert asked.command() == ([far.python, f"{directory}/toy.py"], {})
    assert asked.call("info").version == f"{directory}/toy.py"
