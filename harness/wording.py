"""How results are said to people: words and symbols of verdicts, sources as links, safe text.

Both the report and the command line use these, so that one verdict has one name everywhere. What
comes from a subject is untrusted: it passes through :func:`visible` before it meets a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from harness.results import Results
from harness.verdict import VERDICTS, Verdict

#: A symbol and a word for each verdict; a reader without colours needs both.
SYMBOLS: Final[Mapping[Verdict, str]] = {
    "passed": "✓",
    "failed": "✗",
    "leaked": "≋",
    "harness_error": "⚠",
    "unexpected_pass": "!",
    "expected_failure": "~",
    "unsupported": "○",
}
#: Colours of rich for the same.
COLOURS: Final[Mapping[Verdict, str]] = {
    "passed": "green",
    "failed": "red",
    "leaked": "magenta",
    "harness_error": "yellow",
    "unexpected_pass": "cyan",
    "expected_failure": "blue",
    "unsupported": "bright_black",
}
#: The order in which verdicts are shown: what matters first, after what is well.
ORDER: Final[tuple[Verdict, ...]] = tuple(SYMBOLS)
assert set(ORDER) == set(VERDICTS)

_IMAGE_SPEC: Final = "https://github.com/opencontainers/image-spec/blob/v1.1.1"
_KERNEL: Final = "https://docs.kernel.org/filesystems"
_SOURCES: Final = (
    (re.compile(r"image-spec (?P<page>[\w-]+\.md)"), f"{_IMAGE_SPEC}/{{page}}"),
    (re.compile(r"overlayfs"), f"{_KERNEL}/overlayfs.html"),
    (re.compile(r"shared ?subtrees?"), f"{_KERNEL}/sharedsubtree.html"),
    (re.compile(r"RFC ?(?P<number>\d+)"), "https://www.rfc-editor.org/rfc/rfc{number}"),
    (
        re.compile(r"(?P<page>[a-z][a-z0-9_.-]*)\((?P<section>[1-8])\)"),
        "https://man7.org/linux/man-pages/man{section}/{page}.{section}.html",
    ),
)


def word(verdict: Verdict) -> str:
    """Return the verdict in words."""
    return verdict.replace("_", " ")


def counted(number: int, thing: str) -> str:
    """Return "1 case", "2 cases"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def outcome(results: Results) -> str:
    """Return what a run says of its subject, in one sentence."""
    who = f"{results.subject.name} {results.subject.version}".strip()
    if not results.conformant:
        return f"{who} is not conformant"
    if results.selection.narrowed:
        return f"{who} passed the selected cases"
    return f"{who} is conformant"


def source_url(source: str) -> str | None:
    """Return where the text that a clause cites can be read, for the sources that are known."""
    for pattern, url in _SOURCES:
        found = pattern.search(source)
        if found:
            return url.format(**found.groupdict())
    return None


def is_web(link: str) -> bool:
    """Return whether a link that others wrote leads to the web, and is no script."""
    return re.fullmatch(r"https?://[^\s\"'<>]+", link) is not None


def visible(text: str) -> str:
    """Return ``text`` with everything that could steer a terminal or a page made visible.

    Newlines and tabs stay; other control characters, bidirectional overrides and lone surrogates
    become escapes.
    """
    return "".join(
        char
        if char in "\n\t" or (char.isprintable() and not _is_surrogate(char))
        else _escape(char)
        for char in text
    )


def _is_surrogate(char: str) -> bool:
    return "\ud800" <= char <= "\udfff"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def first_line(text: str, width: int = 160) -> str:
    """Return the first line of ``text``, safe for a terminal, cut to ``width`` characters."""
    line = visible(text.strip().split("\n", 1)[0])
    return line if len(line) <= width else line[: width - 1] + "…"
