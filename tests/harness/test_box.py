import json
import shutil
import tarfile
import threading

import pytest

from harness import box, boxbuild, boxrecipe
from harness.boxrun import BoxError
from harness.errors import ConfigError

RECIPE = """
description = "one"
suite = "trixie"
python = "3.13"
components = ["main"]
kernel_packages = []
packages = []
modules = []
initrd_modules = []
mask = []
remove = []
cmdline = ["rw", "quiet"]
disk_size = 8_589_934_592
"""


class Builder:
    """In place of the stages that take minutes: files with their names as content."""

    def __init__(self):
        self.calls = 0
        self.before = lambda: None

    def __call__(self, _recipe, folder, _runner, told):
        self.calls += 1
        told("stage")
        for name in (boxbuild.IMAGE, boxbuild.KERNEL, boxbuild.INITRD):
            (folder / name).write_text(name)
        self.before()
        return boxbuild.Versions("6.12", "2.3")


@pytest.fixture
def builder(tmp_path, monkeypatch):
    """A cache of its own, one recipe, and a build that takes no time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(boxrecipe, "data", lambda: tmp_path)
    (tmp_path / "boxes/common").mkdir(parents=True)
    (tmp_path / "boxes/common/recipe.toml").write_text("")
    change(tmp_path, RECIPE)
    monkeypatch.setattr(boxbuild, "missing_needs", lambda _: [])
    made = Builder()
    monkeypatch.setattr(boxbuild, "build", made)
    return made


def change(tmp_path, text):
    (tmp_path / "boxes/one").mkdir(exist_ok=True)
    (tmp_path / "boxes/one/recipe.toml").write_text(text)


def left():
    """What the cache has besides boxes and locks."""
    return [
        path.name
        for path in box.cache().iterdir()
        if path.name.startswith(".") or path.suffix not in {"", ".lock"}
    ]


def ignore(_):
    pass


@pytest.mark.usefixtures("builder")
def test_a_box_that_is_not_built_is_not_found():
    assert box.find("one") is None
    assert box.boxes() == []


@pytest.mark.usefixtures("builder")
def test_a_built_box_is_found_with_all_that_boots_it():
    built = box.build("one", ignore)
    assert box.find("one") == built
    assert box.boxes() == [built]
    assert built.image.read_text() == "box.img"
    assert built.kernel.read_text() == "vmlinuz"
    assert built.initrd.read_text() == "initrd.img"
    assert built.cmdline == "rw quiet"
    assert built.current
    assert built.size > 0
    assert built.path.name == f"one-{boxrecipe.load('one').key()}"
    facts = {key: built.metadata[key] for key in ("provider", "format", "virtual_size")}
    assert facts == {"provider": "libvirt", "format": "qcow2", "virtual_size": 8}
    assert (built.metadata["kernel"], built.metadata["zfs"]) == ("6.12", "2.3")
    assert (built.path / box.LOG).is_file()
    assert left() == ["one.log"]


def test_a_box_is_built_once(builder):
    assert box.build("one", ignore) == box.build("one", ignore)
    assert builder.calls == 1


def test_a_changed_recipe_is_another_box(builder, tmp_path):
    old = box.build("one", ignore)
    change(tmp_path, RECIPE.replace('"quiet"', '"debug"'))
    assert box.find("one") is None
    assert not old.current
    new = box.build("one", ignore)
    assert builder.calls == 2
    assert new.path != old.path
    assert {one.current for one in box.boxes()} == {True, False}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BoxError("mke2fs ended with 1"), BoxError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(28, "No space left on device"), BoxError),
    ],
)
def test_a_build_that_fails_leaves_its_log_only_and_the_next_one_works(builder, error, told):
    def fail():
        raise error

    builder.before = fail
    with pytest.raises(told, match=str(error.args[-1]) if error.args else None):
        box.build("one", ignore)
    assert box.find("one") is None
    assert left() == ["one.log"]
    builder.before = lambda: None
    assert box.build("one", ignore) == box.find("one")


@pytest.mark.usefixtures("builder")
def test_what_a_killed_build_has_left_is_removed_by_the_next_one_and_others_kept():
    for name in (".build-one-x1/box", ".build-other-x1/box"):
        (box.cache() / name).mkdir(parents=True)
        (box.cache() / name / boxbuild.IMAGE).write_text("half")
    said = []
    box.build("one", said.append)
    assert said == ["removing what an aborted build has left", "stage"]
    assert sorted(left()) == [".build-other-x1", "one.log"]


def test_a_second_build_waits_for_the_first_and_takes_its_result(builder):
    began, told, done = threading.Event(), threading.Event(), []

    def hold():
        began.set()
        assert told.wait(60)

    builder.before = hold
    first = threading.Thread(target=lambda: done.append(box.build("one", ignore)))
    first.start()
    assert began.wait(60)
    said = []

    def hear(line):
        said.append(line)
        told.set()

    second = box.build("one", hear)
    first.join()
    assert said == ["another process works on the box one: waiting for it"]
    assert done == [second]
    assert builder.calls == 1


def test_a_recipe_that_changes_during_the_build_is_never_cached(builder, tmp_path):
    builder.before = lambda: change(tmp_path, RECIPE.replace('"quiet"', '"debug"'))
    with pytest.raises(BoxError, match="build again"):
        box.build("one", ignore)
    assert box.boxes() == []


def test_what_this_machine_lacks_is_told_before_anything_is_done(builder, monkeypatch):
    monkeypatch.setattr(boxbuild, "missing_needs", lambda _: ["mmdebstrap is missing (get it)"])
    with pytest.raises(BoxError, match=r"box one cannot be built here: mmdebstrap is .*get it"):
        box.build("one", ignore)
    assert builder.calls == 0


@pytest.mark.usefixtures("builder")
@pytest.mark.parametrize("call", [box.find, box.remove, lambda name: box.build(name, ignore)])
def test_an_unknown_name_is_an_error(call):
    with pytest.raises(ConfigError, match="no box 'two'"):
        call("two")


def test_remove_takes_every_version_and_leftovers_and_the_box_can_be_built_again(builder, tmp_path):
    old = box.build("one", ignore)
    change(tmp_path, RECIPE.replace('"quiet"', '"debug"'))
    new = box.build("one", ignore)
    (box.cache() / ".build-one-x").mkdir()
    assert sorted(box.remove("one")) == sorted([old.path, new.path])
    assert box.boxes() == []
    assert left() == []
    assert box.remove("one") == []
    box.build("one", ignore)
    assert builder.calls == 3


@pytest.mark.usefixtures("builder")
def test_a_box_whose_recipe_has_gone_can_be_removed(tmp_path):
    old = box.build("one", ignore)
    change(tmp_path, RECIPE)
    shutil.rmtree(tmp_path / "boxes/one")
    assert not box.boxes()[0].current
    assert box.remove("one") == [old.path]


@pytest.mark.usefixtures("builder")
def test_vagrant_gets_a_tar_that_is_made_once():
    built = box.build("one", ignore)
    path = box.box_file(built)
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["metadata.json", "Vagrantfile", "box.img"]
        assert json.load(tar.extractfile("metadata.json"))["format"] == "qcow2"
        assert tar.extractfile("box.img").read() == b"box.img"
    made = path.stat().st_mtime_ns
    assert box.box_file(built).stat().st_mtime_ns == made
    assert left() == ["one.log"]


@pytest.mark.usefixtures("builder")
def test_unreadable_metadata_is_an_error_with_a_remedy():
    built = box.build("one", ignore)
    (built.path / box.METADATA).write_text("{")
    with pytest.raises(BoxError, match="remove the folder, and build again"):
        box.find("one")
