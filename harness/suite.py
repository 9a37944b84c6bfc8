"""Which suite this is: a digest of the files that decide verdicts, and what they run with.

Two runs with one digest were judged by the same rules. The digest errs on the safe side: all code
of the harness counts, what only shows results included; subjects, mutants and texts do not.
"""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from harness.config import CONFORMANCE

_HARNESS: Final = Path(__file__).resolve().parent
#: What runs the cases, draws their examples and makes their layers.
_LIBRARIES: Final = ("pytest", "hypothesis", "pydantic", "zstandard")


def files(conformance: Path = CONFORMANCE, harness: Path = _HARNESS) -> Iterator[tuple[str, Path]]:
    """Yield the name, the same in a checkout and where it is installed, and the path of each."""
    for folder, name in ((conformance, "conformance"), (harness, "harness")):
        for path in sorted(folder.glob("*.py")):
            yield f"{name}/{path.name}", path
    yield "harness/templates/pytest.ini", harness / "templates" / "pytest.ini"


def digest_of(named: Iterator[tuple[str, Path]]) -> str:
    """Return ``sha256:`` over names and contents. Raises OSError."""
    whole = hashlib.sha256()
    for name, path in named:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{content}  {name}\n".encode())
    return f"sha256:{whole.hexdigest()}"


@functools.cache
def digest() -> str:
    """Return the digest of this suite: that of the lines of ``sha256sum`` over its files."""
    return digest_of(files())


def environment() -> dict[str, str]:
    """Return what the harness runs with, name to version."""
    versions = {name: metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), **versions}
