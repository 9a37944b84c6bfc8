import os
import stat
from types import SimpleNamespace

import pytest

from harness import boxbuild, boxrecipe
from harness.boxbuild import Versions
from harness.boxrun import BoxError


def test_what_is_missing_comes_with_its_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    lacks = boxbuild.missing_needs(tmp_path)
    assert "qemu-img is missing (apt-get install qemu-utils)" in lacks


def test_a_disk_without_room_is_told_with_both_numbers(monkeypatch, tmp_path):
    usage = SimpleNamespace(free=1 << 30)
    monkeypatch.setattr(boxbuild.shutil, "disk_usage", lambda _: usage)
    told = [line for line in boxbuild.missing_needs(tmp_path) if "free" in line]
    assert told
    assert "1024 MiB free" in told[0]
    assert "XDG_CACHE_HOME" in told[0]


def test_a_machine_of_another_kind_is_told_so(monkeypatch, tmp_path):
    monkeypatch.setattr(boxbuild.platform, "machine", lambda: "riscv64")
    assert any("this machine is riscv64" in line for line in boxbuild.missing_needs(tmp_path))


def test_an_environment_without_pip_is_told_so(monkeypatch, tmp_path):
    monkeypatch.setattr(boxbuild.importlib.util, "find_spec", lambda _: None)
    assert any("-m ensurepip" in line for line in boxbuild.missing_needs(tmp_path))


def test_scripts_are_executable_whatever_the_source_says(tmp_path):
    source, root = tmp_path / "files", tmp_path / "root"
    (source / "etc").mkdir(parents=True)
    (source / "etc/script").write_text("#!/bin/sh\n")
    (source / "etc/plain").write_text("text")
    (source / "etc/plain").chmod(0o777)
    boxbuild._put_files(source, root)
    modes = {
        name: stat.S_IMODE((root / "etc" / name).stat().st_mode) for name in ("script", "plain")
    }
    assert modes == {"script": 0o755, "plain": 0o644}


def test_the_environment_sees_its_own_and_the_distributions_packages(tmp_path):
    recipe = boxrecipe.load("debian13")
    (tmp_path / "wheels/pydantic").mkdir(parents=True)
    (tmp_path / "wheels/bin").mkdir()
    environment = tmp_path / "env"
    boxbuild._python(recipe, environment, tmp_path / "wheels")
    site = environment / "lib/python3.13/site-packages"
    assert os.listdir(site) == ["pydantic"]
    assert os.readlink(environment / "bin/python") == "/usr/bin/python3"
    assert "include-system-site-packages = true" in (environment / "pyvenv.cfg").read_text()


def test_what_the_recipe_removes_goes_and_links_are_not_followed(tmp_path):
    recipe = boxrecipe.load("debian13").model_copy(update={"remove": ["usr/doc", "log/*", "none"]})
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "kept").touch()
    for name in ("usr/doc/a", "log/b", "dev/pts", "etc"):
        (root / name).mkdir(parents=True)
    (root / "log/link").symlink_to(outside)
    (root / "dev/null").touch()
    boxbuild._trim(recipe, root)
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == [
        "dev", "etc", "log", "usr",
    ]  # fmt: skip
    assert (outside / "kept").exists()


@pytest.mark.parametrize(
    ("module", "tools", "same"),
    [
        ("2.3.9-0+deb13u1", "2.3.9-0+deb13u1", True),
        ("2.1.11-1", "2.1.11-1+deb12u1", True),
        ("2.3.8-1", "2.3.9-1", False),
        ("2.3.9-1", None, False),
    ],
)
def test_module_and_tools_of_zfs_are_of_one_version(tmp_path, module, tools, same):
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    package = f"Package: zfsutils-linux\nStatus: ok\nVersion: {tools}\n\n" if tools else ""
    status.write_text(f"Package: acl\nVersion: 2.3.9-1\n\n{package}Package: zz\nVersion: 1\n")
    if same:
        boxbuild._same_zfs(Versions("6.12", module), tmp_path)
    else:
        with pytest.raises(BoxError, match="build again"):
            boxbuild._same_zfs(Versions("6.12", module), tmp_path)
