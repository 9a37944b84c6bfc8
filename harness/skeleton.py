"""A new subject to begin with: a folder with ``subject.toml`` and an adapter that works.

The adapter speaks the protocol and keeps blobs in a directory; what is left to write is said in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.config import FILE_NAME
from harness.errors import ConfigError

_TEMPLATES: Final = Path(__file__).with_name("templates") / "subject"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Language:
    """What an adapter in a language consists of, is called by, and declares."""

    files: tuple[str, ...]
    argv: str
    capabilities: str


LANGUAGES: Final[Mapping[str, Language]] = {
    "python": Language(
        ("adapter.py", "protocol.py"), '"{python}", "{dir}/adapter.py"', '"session"'
    ),
    "shell": Language(("adapter.sh",), '"sh", "{dir}/adapter.sh"', ""),
}


def write(folder: Path, language: str) -> list[Path]:
    """Make ``folder``, which names the subject; return the files in it. Raises ConfigError."""
    name, made = folder.name, LANGUAGES[language]
    if _NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{name!r} is no name of a subject: letters, digits, dot, dash, underscore"
        )
    words = {"@NAME@": name, "@ARGV@": made.argv, "@CAPABILITIES@": made.capabilities}
    written = []
    try:
        folder.mkdir(parents=True)
        for file in (FILE_NAME, *made.files):
            text = (_TEMPLATES / file).read_text(encoding="utf-8")
            for word, value in words.items():
                text = text.replace(word, value)
            path = folder / file
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error
    return written
