import pytest
from typer.testing import CliRunner

from harness import box, boxbuild, boxcli, boxrecipe, cli
from harness.errors import ConfigError

runner = CliRunner()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")


def build(recipe, folder, runner, told):  # noqa: ARG001 - as boxbuild.build
    told("a stage")
    for name in (boxbuild.IMAGE, boxbuild.KERNEL, boxbuild.INITRD):
        (folder / name).write_text(name)
    return boxbuild.Versions("6.12.1", "2.3.9")


def test_boxes_are_listed_whether_built_or_not(monkeypatch):
    monkeypatch.setattr(boxbuild, "missing_needs", lambda _: [])
    monkeypatch.setattr(boxbuild, "build", build)
    box.build("debian13", lambda _: None)
    done = runner.invoke(boxcli.app, ["list"])
    assert done.exit_code == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if "debian" in line}
    assert "not built" in lines["debian12"]
    assert all(word in lines["debian13"] for word in ("built", "6.12.1", "2.3.9", "MiB"))


def test_build_tells_its_stages_apart_from_its_result(monkeypatch):
    monkeypatch.setattr(boxbuild, "missing_needs", lambda _: [])
    monkeypatch.setattr(boxbuild, "build", build)
    done = runner.invoke(boxcli.app, ["build", "debian13"])
    assert done.exit_code == 0
    found = box.find("debian13")
    assert found is not None
    assert done.stdout.splitlines()[-1] == str(found.path)
    assert "a stage" in done.stderr


def test_removed_folders_are_named(monkeypatch):
    monkeypatch.setattr(boxbuild, "missing_needs", lambda _: [])
    monkeypatch.setattr(boxbuild, "build", build)
    built = box.build("debian12", lambda _: None)
    done = runner.invoke(boxcli.app, ["remove", "debian12"])
    assert done.stdout.splitlines() == [str(built.path)]
    assert runner.invoke(boxcli.app, ["remove", "debian12"]).stdout == ""


@pytest.mark.parametrize("verb", ["build", "remove"])
def test_an_unknown_box_is_told_by_name(verb):
    done = runner.invoke(boxcli.app, [verb, "slackware"])
    assert isinstance(done.exception, ConfigError)
    assert ", ".join(boxrecipe.names()) in str(done.exception)


def test_the_verbs_belong_to_the_command_line():
    done = runner.invoke(cli.app, ["box", "--help"])
    assert all(verb in done.stdout for verb in ("build", "list", "remove"))
