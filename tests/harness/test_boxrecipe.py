import tomllib
from pathlib import Path

import pytest

from harness import boxrecipe
from harness.errors import ConfigError

COMMON = """
components = ["main"]
kernel_packages = ["linux-image-cloud-amd64"]
packages = ["udev"]
modules = ["zfs"]
initrd_modules = []
mask = ["getty.target"]
remove = ["usr/share/doc"]
cmdline = ["rw"]
disk_size = 8_589_934_592
"""
OWN = """
description = "one"
suite = "trixie"
python = "3.13"
"""


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    """A folder of recipes with one box; returns what writes a file into it."""
    monkeypatch.setattr(boxrecipe, "data", lambda: tmp_path)

    def write(path, text):
        file = tmp_path / "boxes" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    write("common/recipe.toml", COMMON)
    write("one/recipe.toml", OWN)
    return write


def test_the_boxes_that_come_with_the_suite_are_whole():
    assert boxrecipe.names() == ["debian12", "debian13", "debian13-peers"]
    for name in boxrecipe.names():
        recipe = boxrecipe.load(name)
        assert "zfs" in recipe.modules
        assert {"zfsutils-linux", "python3-pyzfs", "openssh-server"} <= set(recipe.packages)
        assert (recipe.folders()[0] / "initrd" / "init").is_file()


def test_lists_are_joined_and_single_values_replaced(recipes):
    recipes("one/recipe.toml", OWN + 'packages = ["acl"]\ndisk_size = 1_073_741_824\n')
    recipe = boxrecipe.load("one")
    assert recipe.packages == ["udev", "acl"]
    assert recipe.disk_size == 1 << 30
    assert recipe.mask == ["getty.target"]


def test_a_recipe_can_be_made_upon_that_of_another_box(recipes):
    recipes("one/recipe.toml", OWN + 'packages = ["acl"]\n')
    recipes("two/recipe.toml", 'base = "one"\ndescription = "two"\npackages = ["umoci"]\n')
    recipe = boxrecipe.load("two")
    assert recipe.packages == ["udev", "acl", "umoci"]
    assert (recipe.name, recipe.description, recipe.suite) == ("two", "two", "trixie")
    assert [folder.name for folder in recipe.folders()] == ["common", "one", "two"]
    before = recipe.key()
    recipes("one/files/etc/motd", "hello")
    assert boxrecipe.load("two").key() != before


@pytest.mark.parametrize("base", ["two", "three", "common", "../one"])
def test_a_base_is_another_box(recipes, base):
    recipes("two/recipe.toml", f'base = "{base}"\ndescription = "two"\n')
    with pytest.raises(ConfigError, match=r"two/recipe\.toml: base: '.*' is no other box's name"):
        boxrecipe.load("two")


def test_boxes_cannot_be_each_others_base(recipes):
    recipes("two/recipe.toml", 'base = "three"\ndescription = "two"\n')
    recipes("three/recipe.toml", 'base = "two"\ndescription = "three"\n')
    with pytest.raises(ConfigError, match="base: 'two' is no other box's name"):
        boxrecipe.load("two")


@pytest.mark.usefixtures("recipes")
def test_an_unknown_box_is_told_with_those_that_there_are():
    with pytest.raises(ConfigError, match="no box 'two'; there are: one"):
        boxrecipe.load("two")


@pytest.mark.usefixtures("recipes")
@pytest.mark.parametrize("name", ["common", "../one", ""])
def test_what_is_no_box_of_its_own_is_unknown(name):
    with pytest.raises(ConfigError, match="there is no box"):
        boxrecipe.load(name)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("packages = 3", "packages"),
        ("color = 'red'", "color"),
        ("remove = ['/etc']", "remove"),
        ("remove = ['etc/../..']", "remove"),
        ("packages = ['two words']", "packages"),
        ("disk_size = 17", "disk_size"),
        ("not toml", "recipe.toml"),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_file_and_key(recipes, line, told):
    recipes("one/recipe.toml", OWN + line + "\n")
    with pytest.raises(ConfigError) as caught:
        boxrecipe.load("one")
    assert told in str(caught.value)
    assert "one/recipe.toml" in str(caught.value)


def test_the_key_stays_when_only_words_about_the_recipe_change(recipes):
    before = boxrecipe.load("one").key()
    recipes("one/recipe.toml", "# why\n" + OWN)
    assert boxrecipe.load("one").key() == before
    assert len(before) == 16


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("one/recipe.toml", OWN + 'packages = ["acl"]\n'),
        ("one/files/etc/motd", "hello"),
        ("common/finish.sh", "true\n"),
    ],
)
def test_the_key_changes_with_all_that_the_box_is_made_of(recipes, path, text):
    before = boxrecipe.load("one").key()
    recipes(path, text)
    assert boxrecipe.load("one").key() != before


def test_the_key_changes_when_a_file_moves(recipes):
    recipes("one/files/a", "x")
    before = boxrecipe.load("one").key()
    (boxrecipe.data() / "boxes/one/files/a").rename(boxrecipe.data() / "boxes/one/files/b")
    assert boxrecipe.load("one").key() != before


def test_a_box_carries_what_the_project_depends_on():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    names = {line.partition(">")[0] for line in project["project"]["dependencies"]}
    assert {line.partition(">")[0] for line in boxrecipe.runtime_requirements()} == names


def test_without_the_package_its_dependencies_are_unknown(monkeypatch):
    monkeypatch.setattr(boxrecipe, "_PACKAGE", "surely-not-installed")
    with pytest.raises(ConfigError, match="not installed"):
        boxrecipe.runtime_requirements()


def test_an_installed_package_has_its_recipes_beside_its_modules(tmp_path, monkeypatch):
    module = tmp_path / "harness" / "boxrecipe.py"
    monkeypatch.setattr(boxrecipe, "__file__", str(module))
    assert boxrecipe.data() == tmp_path / "vagrant"
    (tmp_path / "harness" / "vagrant").mkdir(parents=True)
    assert boxrecipe.data() == tmp_path / "harness" / "vagrant"
