"""Debian's packages of another suite than this machine's, from wherever its own apt has Debian's.

Nothing of this machine's apt is changed, and nothing is installed. What is made of the packages has
no trace of where they came from.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from harness import tool
from harness.errors import TargetError

#: Where Debian's archive is, when this machine's apt does not know one.
MIRROR: Final = "LAYERFS_DEBIAN_MIRROR"
#: Debian's keys, which other distributions' apt does not trust by itself.
_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: Seconds: for a question to apt, and for a download.
_ASK: Final = 60.0
_FETCH: Final = 1800.0


def source(suite: str, components: Sequence[str]) -> str:
    """Return the line of a sources.list(5) for a suite. Raises TargetError."""
    return f"deb {_archive()} {suite} {' '.join(components)}"


def proxies() -> list[str]:
    """Return this machine's apt settings of proxies, for another apt. Raises TargetError."""
    wanted = re.compile(r"^Acquire::https?::(\S+::)?Proxy ")
    return [line for line in _apt("apt-config", "dump").splitlines() if wanted.match(line)]


def download(line: str, names: Sequence[str], status: bytes, folder: Path) -> None:
    """Put packages, and those that they need, into the new directory ``folder``, as .deb files.

    ``line`` is one of :func:`source`; ``status`` is the /var/lib/dpkg/status of the system that
    they are for: what is installed there is left out. Raises TargetError, and there is no
    ``folder`` then.
    """
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as name:
        scratch = Path(name)
        for part in ("lists/partial", "cache/archives/partial"):
            (scratch / part).mkdir(parents=True)
        (scratch / "sources.list").write_text(f"{line}\n")
        (scratch / "status").write_bytes(status)
        own = {
            "Dir::Etc::SourceList": scratch / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": scratch / "lists",  # else this machine's lists are emptied
            "Dir::State::Status": scratch / "status",
            "Dir::Cache": scratch / "cache",
            "APT::Sandbox::User": "root",  # who may enter a directory of ours
            **({"Dir::Etc::Trusted": _KEYRING} if _KEYRING.exists() else {}),
            "Acquire::Languages": "none",
        }
        apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in own.items())]
        _apt(*apt, "update", timeout=_FETCH)
        words = ["--yes", "--download-only", "--no-install-recommends"]
        _apt(*apt, "install", *words, *names, timeout=_FETCH)
        made = scratch / "made"
        made.mkdir()
        for deb in (scratch / "cache" / "archives").glob("*.deb"):
            shutil.move(deb, made)
        made.rename(folder)


def _archive() -> str:
    """Return the URI that this machine's apt has Debian's main archive from."""
    if os.environ.get(MIRROR):
        return os.environ[MIRROR]
    fields = "$(ORIGIN)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)"
    told = _apt("apt-get", "indextargets", "--format", fields, "Created-By: Packages")
    for line in told.splitlines():
        origin, release, component, uri = line.split("|", 3)
        # bookworm-security and its like are archives of their own, or parts only.
        if origin == "Debian" and component == "main" and "-" not in release:
            return uri
    raise TargetError(
        "this machine's apt has no package list of Debian: run 'apt-get update', or set "
        f"{MIRROR} to the URI of a Debian archive"
    )


def _apt(*argv: str, timeout: float = _ASK) -> str:
    return tool.run(argv, timeout=timeout).good()
