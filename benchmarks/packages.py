"""Trees made of the distribution's own packages, whatever its release calls them.

Candidates are patterns, since names carry versions; of each pattern the newest package that can be
downloaded is taken, until the tree is large enough. Nothing is installed.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

Log = Callable[[str], None]


class BenchError(Exception):
    """The benchmark cannot go on; the message has the fact and the remedy."""


class Recipe(NamedTuple):
    """What a tree is made of: packages in this order, until ``files`` and ``size`` are reached.

    Files smaller than ``least`` bytes are left out.
    """

    candidates: tuple[str, ...]
    files: int
    size: int
    least: int = 0


#: Sources, headers and modules: nothing but small files.
SMALL: Final = Recipe(
    (
        r"golang-1\.\d+-src",
        r"libboost1\.\d+-dev",
        r"linux-headers-[\d.]+-\d+-common",
        r"linux-headers-[\d.]+-\d+",
        r"rust-src",
        r"libstdc\+\+-\d+-doc",
        r"python3-sympy",
        r"npm",
        r"libqt5webengine-data",
        r"linux-source-[\d.]+",
        r"texlive-latex-extra",
    ),
    files=30_000,
    size=0,
)
#: Programs and libraries of more than a MiB.
LARGE: Final = Recipe(
    (
        r"chromium",
        r"libllvm\d+",
        r"libclang-cpp\d+",
        r"firefox-esr",
        r"thunderbird",
        r"libwebkit2gtk-4\.\d-\d+",
        r"openjdk-\d+-jre-headless",
        r"qemu-system-x86",
        r"libicu-dev",
        r"rustc",
        r"linux-image-[\d.]+-\d+-generic",
    ),
    files=0,
    size=400 << 20,
    least=1 << 20,
)


def make(recipe: Recipe, tree: Path, log: Log) -> list[str]:
    """Unpack packages into the new directory ``tree``; return what was taken, as name=version.

    BenchError: a step failed, or all candidates together are too little.
    """
    tree.mkdir()
    names = run(["apt-cache", "pkgnames"]).split()
    taken: list[str] = []
    files = size = 0
    for candidate in recipe.candidates:
        chosen = newest(candidate, names)
        if chosen is None:
            continue
        log(f"  unpacking {chosen}")
        taken.append(_unpack(chosen, tree))
        files, size = _count(tree, recipe.least)
        if files >= recipe.files and size >= recipe.size:
            return taken
    raise BenchError(
        f"apt has too few of the packages that an input is made of: {files} files, {size} bytes "
        f"from {', '.join(taken) or 'none'}; run 'apt-get update', and again"
    )


def newest(pattern: str, names: Sequence[str]) -> str | None:
    """Return the package of the highest version in its name that can be downloaded, if any is."""
    found = [name for name in names if re.fullmatch(pattern, name)]
    for name in sorted(found, key=_version, reverse=True):
        if "Candidate: (none)" not in run(["apt-cache", "policy", name]):
            return name
    return None


def _version(name: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", name)]


def _unpack(name: str, tree: Path) -> str:
    before = set(tree.parent.glob("*.deb"))
    run(["apt-get", "-o", "APT::Sandbox::User=root", "-qq", "download", name], cwd=tree.parent)
    (deb,) = set(tree.parent.glob("*.deb")) - before
    run(["dpkg-deb", "-x", deb, tree])
    version = run(["dpkg-deb", "-f", deb, "Version"]).strip()
    deb.unlink()
    return f"{name}={version}"


def _count(tree: Path, least: int) -> tuple[int, int]:
    """Return the number of regular files and their bytes, after deleting those below ``least``."""
    files = size = 0
    for path in _files(tree):
        length = path.lstat().st_size
        if length < least:
            path.unlink()
        else:
            files, size = files + 1, size + length
    if least:
        run(["find", tree, "-mindepth", "1", "-xtype", "l", "-delete"])
        run(["find", tree, "-mindepth", "1", "-type", "d", "-empty", "-delete"])
    return files, size


def _files(tree: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(tree):
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def run(argv: Sequence[str | Path], cwd: Path | None = None) -> str:
    """Run a command to its end; return its output. BenchError, with its last lines, if it fails."""
    words = [str(word) for word in argv]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            check=False,
        )
    except FileNotFoundError as error:
        raise BenchError(f"{words[0]} is missing here") from error
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise BenchError(f"{' '.join(words[:6])} … ended with {done.returncode}:\n{tail}")
    return done.stdout
