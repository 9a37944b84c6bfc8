"""Builds a box from Debian packages, in a folder that the caller gives and throws away.

Stages: the guest's Python environment (wheels, by this machine's pip); a root with the kernel and a
compiler, in which dkms builds ZFS, and of which only kernel, needed modules and a small initrd are
kept; a root with the guest's packages, into which all that goes; a file system made of it without
mounting anything (mke2fs -d); a qcow2 image. Nothing outside the folder is changed.

The packages come from wherever this machine's own apt gets Debian's, and the wheels from wherever
its pip gets them; the box has no trace of either.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness import debian
from harness.boxrecipe import Recipe
from harness.boxrun import BoxError, Runner

IMAGE: Final = "box.img"
KERNEL: Final = "vmlinuz"
INITRD: Final = "initrd.img"
ROOT_LABEL: Final = "layerfs-root"
ENVIRONMENT: Final = "opt/layerfs-env"

_NEEDS: Final = {
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "apt-get": "apt",
    "tar": "tar",
}
_MACHINE: Final = "x86_64"
#: Bytes that a build takes at its peak, measured, and some more.
_ROOM: Final = 3 << 30
#: Wheels for any of these run on the guests' C library.
_PLATFORMS: Final = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
#: Debian's dpkg unpacks none of this: half of all files, and read by nobody.
_NOT_UNPACKED: Final = ("doc", "man", "info", "locale", "lintian", "bug")


@dataclass(frozen=True)
class Versions:
    """What was built: the kernel's release, and the version of ZFS."""

    kernel: str
    zfs: str


def missing_needs(folder: Path) -> list[str]:
    """Say what this machine lacks to build in ``folder``, each with its remedy."""
    lacks = [
        f"{tool} is missing (apt-get install {package})"
        for tool, package in _NEEDS.items()
        if shutil.which(tool) is None
    ]
    if importlib.util.find_spec("pip") is None:
        lacks.append(f"pip is missing in this environment ({sys.executable} -m ensurepip)")
    if platform.machine() != _MACHINE:
        lacks.append(f"this machine is {platform.machine()} (boxes are {_MACHINE}: use such a one)")
    if os.geteuid() != 0:
        lacks.append("not root (mmdebstrap needs device nodes and real owners)")
    free = shutil.disk_usage(folder).free
    if free < _ROOM:
        lacks.append(
            f"{folder} has {free >> 20} MiB free, a build takes {_ROOM >> 20} MiB: free some, or "
            "set XDG_CACHE_HOME"
        )
    return lacks


def build(recipe: Recipe, folder: Path, runner: Runner, told: Callable[[str], None]) -> Versions:
    """Put ``box.img``, ``vmlinuz`` and ``initrd.img`` into ``folder``, which is empty.

    What else is made there is removed again. Raises TargetError, a BoxError but for what apt says;
    then anything may be in the folder.
    """
    with _modes_as_told():
        told("Python environment: wheels for the guest")
        python_environment(recipe, folder / "env", runner)
        told("kernel: packages, and ZFS built by dkms (the longest step)")
        versions = kernel_stage(recipe, folder / "kernel", runner)
        told(f"root: packages (kernel {versions.kernel}, ZFS {versions.zfs})")
        root = folder / "root"
        root_stage(recipe, root, runner)
        told("root: modules, environment, files, units")
        furnish(recipe, root, folder, runner)
        _same_zfs(versions, root)
        told("image: file system and qcow2")
        image_stage(recipe, folder, runner)
        for name in (KERNEL, INITRD):
            (folder / "kernel" / name).rename(folder / name)
        for name in ("env", "kernel", "root"):
            shutil.rmtree(folder / name)
    return versions


@contextlib.contextmanager
def _modes_as_told() -> Iterator[None]:
    """Whatever this user's umask is, the guest's folders are open; it is the whole process's."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def python_environment(recipe: Recipe, target: Path, runner: Runner) -> None:
    """Install layerfs's runtime dependencies for the guest's Python into the folder ``target``."""
    # pip's own configuration and environment say where wheels are.
    platforms = [f"{one}_{_MACHINE}" for one in _PLATFORMS]
    runner.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", target,
            "--only-binary=:all:", "--implementation=cp", f"--python-version={recipe.python}",
            *(f"--platform={one}" for one in platforms), *recipe.requirements(),
        ],
        env={"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"},
    )  # fmt: skip


def kernel_stage(recipe: Recipe, out: Path, runner: Runner) -> Versions:
    """Put ``vmlinuz``, ``initrd.img`` and ``modules.tar`` into ``out``."""
    root = out.with_name("builder")
    _debootstrap(recipe, recipe.kernel_packages, root, runner)
    common = recipe.folders()[0]
    shutil.copytree(common / "initrd", root / "recipe" / "initrd")
    shutil.copy(common / "kernel.sh", root / "recipe")
    words = [" ".join(names) for names in (recipe.modules, recipe.initrd_modules)]
    runner.chroot(root, ["sh", "/recipe/kernel.sh", *words])
    (root / "out").rename(out)
    shutil.rmtree(root)
    kernel, zfs = (out / "versions").read_text().split()
    return Versions(kernel, zfs)


def root_stage(recipe: Recipe, root: Path, runner: Runner) -> None:
    """Make a root of the guest's packages."""
    _debootstrap(recipe, recipe.packages, root, runner)


def furnish(recipe: Recipe, root: Path, folder: Path, runner: Runner) -> None:
    """Put modules, Python environment and files into the root, set it up and trim it."""
    runner.run(["tar", "-C", root / "lib", "-xf", folder / "kernel" / "modules.tar"])
    _python(recipe, root / ENVIRONMENT, folder / "env")
    for part in recipe.folders():
        _put_files(part / "files", root)
    script = root / "finish.sh"
    shutil.copy(recipe.folders()[0] / "finish.sh", script)
    runner.chroot(root, ["sh", "/finish.sh", " ".join(recipe.mask)])
    script.unlink()
    _trim(recipe, root)


def image_stage(recipe: Recipe, folder: Path, runner: Runner) -> None:
    """Make ``box.img`` of the root."""
    raw = folder / "disk.raw"
    runner.run(
        [
            "mke2fs", "-q", "-F", "-t", "ext4", "-L", ROOT_LABEL, "-m", "0",
            # Else the guest's kernel writes the tables after its first boot.
            "-E", "lazy_itable_init=0,lazy_journal_init=0",
            "-d", folder / "root", raw, str(recipe.disk_size // 1024),
        ]
    )  # fmt: skip
    runner.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, folder / IMAGE])
    raw.unlink()


def _debootstrap(recipe: Recipe, packages: list[str], root: Path, runner: Runner) -> None:
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{one}/*" for one in _NOT_UNPACKED]
    runner.run(
        [
            "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
            f"--include={','.join(packages)}", "--aptopt=APT::Install-Recommends false",
            "--aptopt=Acquire::Languages none", "--dpkgopt=force-unsafe-io", *excluded,
            *(f"--aptopt={line}" for line in debian.proxies()), recipe.suite, root,
            debian.source(recipe.suite, recipe.components),
        ],
        # No initrd of the distribution's: it takes half a minute, and another one is used.
        env={
            "DEBIAN_FRONTEND": "noninteractive",
            "INITRD": "No",
            # What mmdebstrap leaves when it is killed goes with the build's folder.
            "TMPDIR": str(root.parent),
        },
    )  # fmt: skip


def _python(recipe: Recipe, environment: Path, packages: Path) -> None:
    """Make a virtual environment that sees the distribution's packages, too (PEP 405)."""
    site = environment / "lib" / f"python{recipe.python}" / "site-packages"
    site.parent.mkdir(parents=True)
    # bin/ has scripts that name this machine's interpreter.
    shutil.copytree(packages, site, ignore=shutil.ignore_patterns("bin"))
    (environment / "bin").mkdir()
    for name in ("python", "python3"):
        (environment / "bin" / name).symlink_to("/usr/bin/python3")
    (environment / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = true\nversion = {recipe.python}\n"
    )


def _put_files(source: Path, root: Path) -> None:
    """Copy a tree into the root: scripts executable, all else plain, whatever the source's modes.

    A wheel does not carry modes, and a checkout those of whoever made it.
    """
    for file in sorted(source.rglob("*")):
        if not file.is_file():
            continue
        target = root / file.relative_to(source)
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        content = file.read_bytes()
        target.write_bytes(content)
        target.chmod(0o755 if content.startswith(b"#!") else 0o644)


def _trim(recipe: Recipe, root: Path) -> None:
    for pattern in recipe.remove:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for path in (root / "dev").iterdir():
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()


def _same_zfs(versions: Versions, root: Path) -> None:
    """Raise BoxError unless module and tools are of one version."""
    status = (root / "var" / "lib" / "dpkg" / "status").read_text()
    found = re.search(r"^Package: zfsutils-linux\n(?:.+\n)*?Version: (\S+)", status, re.MULTILINE)
    tools = found.group(1) if found else "none"
    # Debian's version is OpenZFS's with a revision: 2.1.11-1+deb12u1, and the module's 2.1.11-1….
    if tools.split("-")[0] != versions.zfs.split("-")[0]:
        raise BoxError(
            f"the ZFS module is {versions.zfs}, the tools are {tools}: the archive changed in "
            "between; build again"
        )
